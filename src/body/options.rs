use std::{error::Error, fmt, sync::Arc};

use bytes::Bytes;

use super::{Heartbeat, Retry};
use crate::event::{Encoded, Event};

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
    pub(super) terminator: Option<Option<Bytes>>,
    pub(super) on_error: Option<Option<Arc<ErrorToEvent>>>,
}

pub(super) type ErrorToEvent = dyn Fn(&(dyn Error + 'static)) -> Event + Send + Sync;

impl StreamOptions {
    /// Options of which none is set.
    pub const fn new() -> Self {
        Self { heartbeat: None, retry: None, padding: None, terminator: None, on_error: None }
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

    /// An event sent after the source's own clean end; see
    /// [`SseLayer::terminator`](crate::SseLayer::terminator). `None` undoes it.
    pub fn terminator(mut self, terminator: impl Into<Option<Event>>) -> Self {
        self.terminator = Some(terminator.into().map(|event| Encoded::from(event).into()));
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

    /// These options, and `defaults` for what they leave open.
    pub(crate) fn or(self, defaults: &Self) -> Self {
        Self {
            heartbeat: self.heartbeat.or_else(|| defaults.heartbeat.clone()),
            retry: self.retry.or_else(|| defaults.retry.clone()),
            padding: self.padding.or_else(|| defaults.padding.clone()),
            terminator: self.terminator.or_else(|| defaults.terminator.clone()),
            on_error: self.on_error.or_else(|| defaults.on_error.clone()),
        }
    }
}

impl fmt::Debug for StreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { heartbeat, retry, padding, terminator, on_error } = self;
        f.debug_struct("StreamOptions")
            .field("heartbeat", heartbeat)
            .field("retry", retry)
            .field("padding", &padding.as_ref().map(Bytes::len))
            .field("terminator", terminator)
            .field(
                "on_error",
                &on_error.as_ref().map(|set| set.as_ref().map(|_| format_args!(".."))),
            )
            .finish()
    }
}
