use std::{error::Error, fmt, sync::Arc};

use bytes::Bytes;

use super::{
    Drain, Heartbeat, MaxAge, Retry,
    callbacks::{CloseCallbacks, ErrorToEvent, both},
};
use crate::{
    connection::CloseReport,
    event::{Encoded, Event},
};

/// What is done to one stream. Given to the [layer](crate::SseLayer::options) it is for all
/// streams; put into a response's extensions it is for that one and goes before what the layer says,
/// field by field.
///
/// What is not set here is left as it is, so every option has a value that undoes it.
///
/// ```
/// use http::Response;
/// use tower_sse::{Event, Heartbeat, StreamOptions};
/// # use futures_util::stream;
///
/// async fn completion() -> Response<tower_sse::EventBody<impl futures_core::Stream<Item = Event>>> {
///     let tokens = stream::iter(["Hel", "lo"]).map(Event::from);
/// #   use futures_util::StreamExt as _;
///     let mut response = tower_sse::response(tokens);
///     let options = StreamOptions::new().terminator(Event::from("[DONE]")).heartbeat(Heartbeat::off());
///     response.extensions_mut().insert(options);
///     response
/// }
/// ```
///
/// With feature `axum` it is a part of a response as well:
/// `(StreamOptions::new().terminator(Event::from("[DONE]")), tower_sse::response(tokens))`.
///
/// Every option is described at the method of [`SseLayer`](crate::SseLayer) that has its name.
#[derive(Clone, Default)]
#[must_use]
pub struct StreamOptions {
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) retry: Option<Retry>,
    pub(super) padding: Option<Bytes>,
    pub(super) max_age: Option<MaxAge>,
    pub(super) drain: Option<Drain>,
    pub(super) farewell: Option<Option<Bytes>>,
    pub(super) terminator: Option<Option<Bytes>>,
    pub(super) on_error: Option<Option<Arc<ErrorToEvent>>>,
    pub(super) on_close: CloseCallbacks,
}

impl StreamOptions {
    /// Options of which none is set.
    pub const fn new() -> Self {
        Self {
            heartbeat: None,
            retry: None,
            padding: None,
            max_age: None,
            drain: None,
            farewell: None,
            terminator: None,
            on_error: None,
            on_close: CloseCallbacks { callback: None, replaces: false },
        }
    }

    /// What is sent when the stream has been silent for a while; see
    /// [`SseLayer::heartbeat`](crate::SseLayer::heartbeat). [`Heartbeat::off`] undoes it.
    pub fn heartbeat(mut self, heartbeat: Heartbeat) -> Self {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// The reconnection time that the stream starts with; see
    /// [`SseLayer::retry`](crate::SseLayer::retry). [`Retry::none`] undoes it.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Starts the stream with a comment line of so many bytes; see
    /// [`SseLayer::padding`](crate::SseLayer::padding). Zero undoes it.
    ///
    /// # Panics
    ///
    /// If `bytes` is more than 65,536.
    #[track_caller]
    pub fn padding(mut self, bytes: usize) -> Self {
        assert!(bytes <= 1 << 16, "a stream cannot start with more than 64 KiB of padding");
        self.padding = Some(match bytes.checked_sub(b":\n".len()) {
            Some(blanks) => [b":", &*vec![b' '; blanks], b"\n"].concat().into(),
            None if bytes == 0 => Bytes::new(),
            None => Bytes::from_static(b":\n"),
        });
        self
    }

    /// How old the stream may become; see [`SseLayer::max_age`](crate::SseLayer::max_age).
    /// [`MaxAge::none`] undoes it.
    ///
    /// If the layer has neither a greatest age nor a shutdown nor a limit, it does not look [who is
    /// asking](crate::operating#who-is-asking), and ends every stream by failing: all clients that reconnect do
    /// so after that too. `SseLayer::max_age(MaxAge::none())` lets it look.
    ///
    /// A stream whose caller's credentials expire should not outlive them, nor have any grace:
    ///
    /// ```
    /// # use std::time::Duration;
    /// use tower_sse::{MaxAge, StreamOptions};
    ///
    /// # fn options(expires_in: Duration) -> StreamOptions {
    /// StreamOptions::new().max_age(MaxAge::new(expires_in).grace(Duration::ZERO))
    /// # }
    /// # _ = options(Duration::from_secs(1));
    /// ```
    pub fn max_age(mut self, max_age: MaxAge) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// What happens to the stream at the shutdown; see
    /// [`SseLayer::drain`](crate::SseLayer::drain). [`Drain::per_client`] is the default, and
    /// [`Drain::never`] lets it go on.
    pub fn drain(mut self, drain: Drain) -> Self {
        self.drain = Some(drain);
        self
    }

    /// An event sent when the shutdown ends the stream; see
    /// [`SseLayer::farewell`](crate::SseLayer::farewell). `None` undoes it.
    pub fn farewell(mut self, farewell: impl Into<Option<Event>>) -> Self {
        self.farewell = Some(farewell.into().and_then(last_event));
        self
    }

    /// An event sent after the source's own clean end; see
    /// [`SseLayer::terminator`](crate::SseLayer::terminator). `None` undoes it.
    pub fn terminator(mut self, terminator: impl Into<Option<Event>>) -> Self {
        self.terminator = Some(terminator.into().and_then(last_event));
        self
    }

    /// Turns an error of the source into a last event; see
    /// [`SseLayer::on_error`](crate::SseLayer::on_error).
    /// [`fail_on_error`](Self::fail_on_error) undoes it.
    pub fn on_error<F>(mut self, to_event: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> Event + Send + Sync + 'static,
    {
        self.on_error = Some(Some(Arc::new(to_event)));
        self
    }

    /// Lets an error of the source fail the body, as it does by default; undoes
    /// [`on_error`](Self::on_error).
    pub fn fail_on_error(mut self) -> Self {
        self.on_error = Some(None);
        self
    }

    /// Is called once when the stream has closed; see
    /// [`SseLayer::on_close`](crate::SseLayer::on_close). Here, where a handler makes the response, a
    /// closure can know whose stream it was.
    ///
    /// Unlike other options it does not go before the layer's: both are called, the layer's first, as
    /// one is there for those who operate the server and one for the handler.
    /// [`no_on_close`](Self::no_on_close) undoes both; set before, it leaves only this one.
    ///
    /// A response that does not become a stream has no close to tell: one that is refused, or not acceptable,
    /// the answer to a `HEAD` request, and where there is no layer. What must be released in any case
    /// belongs into a guard within the stream, which is dropped in all of them.
    ///
    /// ```
    /// use tower_sse::StreamOptions;
    ///
    /// # fn options(user: String) -> StreamOptions {
    /// StreamOptions::new().on_close(move |closed| {
    ///     println!("{user} left after {:?}: {}", closed.age(), closed.reason());
    /// })
    /// # }
    /// # _ = options(String::new());
    /// ```
    pub fn on_close<F>(mut self, callback: F) -> Self
    where
        F: Fn(&CloseReport) + Send + Sync + 'static,
    {
        let earlier = self.on_close.callback.take();
        self.on_close.callback = Some(both(earlier, Arc::new(callback)));
        self
    }

    /// Calls nobody when the stream has closed; undoes every [`on_close`](Self::on_close) before, the
    /// layer's too.
    pub fn no_on_close(mut self) -> Self {
        self.on_close = CloseCallbacks { callback: None, replaces: true };
        self
    }

    /// These options, and `defaults` for what they leave open.
    pub(crate) fn or(self, defaults: &Self) -> Self {
        Self {
            heartbeat: self.heartbeat.or_else(|| defaults.heartbeat.clone()),
            retry: self.retry.or_else(|| defaults.retry.clone()),
            padding: self.padding.or_else(|| defaults.padding.clone()),
            max_age: self.max_age.or_else(|| defaults.max_age.clone()),
            drain: self.drain.or_else(|| defaults.drain.clone()),
            farewell: self.farewell.or_else(|| defaults.farewell.clone()),
            terminator: self.terminator.or_else(|| defaults.terminator.clone()),
            on_error: self.on_error.or_else(|| defaults.on_error.clone()),
            on_close: self.on_close.after(&defaults.on_close),
        }
    }
}

impl fmt::Debug for StreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            heartbeat,
            retry,
            padding,
            max_age,
            drain,
            farewell,
            terminator,
            on_error,
            on_close,
        } = self;
        f.debug_struct("StreamOptions")
            .field("heartbeat", heartbeat)
            .field("retry", retry)
            .field("padding", &padding.as_ref().map(Bytes::len))
            .field("max_age", max_age)
            .field("drain", drain)
            .field("farewell", farewell)
            .field("terminator", terminator)
            .field("on_error", &on_error.as_ref().map(Option::is_some))
            .field("on_close", &on_close.callback.is_some())
            .finish()
    }
}

/// The event as it is sent, or `None` if no client would dispatch it.
fn last_event(event: Event) -> Option<Bytes> {
    let dispatched = event.dispatched();
    if dispatched.is_none() {
        warn!(
            "a terminator or farewell without data and name is not sent: no client dispatches it"
        );
    }
    dispatched.map(|event| Encoded::from(event).into())
}
