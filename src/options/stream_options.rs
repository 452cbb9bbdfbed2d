use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Extensions, Response};

use super::{Drain, Heartbeat, MaxAge, Retry};
use crate::callback::{Opaque, catch_panic};
use crate::connection::{ClientKind, CloseReport};
use crate::event::{Encoded, Event};

/// Options of a stream, which you can set in three places:
///
/// - For every stream of a layer, with [`SseLayer::options`](crate::SseLayer::options).
/// - In a request, from middleware outside of the layer (such as authentication), with
///   [`merge_into_extensions`](Self::merge_into_extensions).
/// - In a response, from a handler or from middleware inside of the layer, with
///   [`merge_into`](Self::merge_into).
///
/// ```
/// use http::Response;
/// use tower_sse::StreamOptions;
///
/// fn as_completion<B>(mut response: Response<B>) -> Response<B> {
///     StreamOptions::new().terminator("[DONE]").without_heartbeat().merge_into(&mut response);
///     response
/// }
/// ```
///
/// With feature `axum`, a handler can also return options as part of its response:
/// `(StreamOptions::new().terminator("[DONE]"), tower_sse::response(tokens))`.
///
/// Each option but [`long_poll`](Self::long_poll) is documented at the method of the same name on
/// [`SseLayer`](crate::SseLayer).
///
/// # Precedence
///
/// An option in a request overrides the layer's. An option in a response overrides both, but a
/// [`client_kind`](Self::client_kind) has no effect there. Two options are exceptions:
///
/// - If several maximum ages are set, the stream ends at the age that it reaches first.
/// - Every [`on_close`](Self::on_close) closure is called: the layer's first, then the request's,
///   then the response's.
///
/// # Setting and turning off options
///
/// Setting an option again replaces its earlier value. But each call to `on_close` adds a closure.
/// Each call to `on_open`, `cancellation_if` or `last_event_id_query` on
/// [`SseLayer`](crate::SseLayer) adds to the earlier values too.
///
/// Each `without_…` method turns off an option, and so does a [`padding`](Self::padding) of zero.
/// `max_age`, `long_poll`, `on_error` and `on_close` can't be turned off. A route without them
/// needs a layer of its own.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct StreamOptions {
    // In an `Option<Option<_>>`, an outer `None` means that the option is not set, an inner `None`
    // that it is turned off.
    pub(crate) heartbeat: Option<Option<Heartbeat>>,
    pub(crate) retry: Option<Option<Retry>>,
    /// Whether the layer leaves out what it sends to an `EventSource` by default: the reconnection
    /// time and the event `start`. If the program sets them, they are still sent.
    pub(crate) omits_defaults: bool,
    /// Whether a run records the stream. Set in the request of the run's call.
    pub(crate) is_recorded: bool,
    pub(crate) client_kind: Option<ClientKind>,
    pub(crate) padding: Option<Opaque<Bytes>>,
    // Several if set in several places. The age that the stream reaches first counts.
    pub(crate) max_age: Vec<MaxAge>,
    pub(crate) long_poll: Option<Duration>,
    pub(crate) drain: Option<Drain>,
    // Empty if turned off.
    pub(crate) farewell: Option<Bytes>,
    pub(crate) terminator: Option<Bytes>,
    pub(crate) on_error: Option<ErrorToEvent>,
    pub(crate) on_close: Option<OnClose>,
}

impl StreamOptions {
    /// Creates options with nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the heartbeat; see [`SseLayer::heartbeat`](crate::SseLayer::heartbeat).
    ///
    /// # Panics
    ///
    /// Panics if `heartbeat` is a [`Duration`](std::time::Duration) of zero.
    pub fn heartbeat(mut self, heartbeat: impl Into<Heartbeat>) -> Self {
        self.heartbeat = Some(Some(heartbeat.into()));
        self
    }

    /// Sends no heartbeats.
    pub fn without_heartbeat(mut self) -> Self {
        self.heartbeat = Some(None);
        self
    }

    /// Starts the stream with a reconnection time; see [`SseLayer::retry`](crate::SseLayer::retry).
    pub fn retry(mut self, retry: impl Into<Retry>) -> Self {
        self.retry = Some(Some(retry.into()));
        self
    }

    /// Starts the stream without a reconnection time.
    pub fn without_retry(mut self) -> Self {
        self.retry = Some(None);
        self
    }

    /// Sets the kind of client that sent the request; see
    /// [`SseLayer::client_kind`](crate::SseLayer::client_kind). In a response, it has no effect.
    pub const fn client_kind(mut self, kind: ClientKind) -> Self {
        self.client_kind = Some(kind);
        self
    }

    /// Returns the kind of client that the program has set for a request, or else the kind `shown`
    /// by the headers. Requests with methods other than `GET` and `HEAD` are always calls.
    pub(crate) fn client_or(extensions: &Extensions, shown: ClientKind) -> ClientKind {
        let set = extensions.get().and_then(|options: &Self| options.client_kind);
        set.filter(|_| !shown.is_call()).unwrap_or(shown)
    }

    /// Replaces the options of a request, except for the kind of client, by those of a call that a
    /// run records.
    pub(crate) fn record(extensions: &mut Extensions) {
        let client_kind = extensions.get().and_then(|options: &Self| options.client_kind);
        extensions.insert(Self { client_kind, is_recorded: true, ..Self::new() });
    }

    /// Starts the stream with [padding](crate::SseLayer::padding), or with none if `bytes` is zero.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is more than 65,536.
    #[track_caller]
    pub fn padding(mut self, bytes: usize) -> Self {
        assert!(bytes <= 1 << 16, "a stream cannot start with more than 64 KiB of padding");
        let spaces = vec![b' '; bytes.saturating_sub(b":\n".len()).max(1)];
        let line = if bytes == 0 { Vec::new() } else { [b":", &*spaces, b"\n"].concat() };
        self.padding = Some(Opaque(line.into()));
        self
    }

    /// Limits the stream's age; see [`SseLayer::max_age`](crate::SseLayer::max_age).
    ///
    /// By default, the answer to a call (anything but a `GET`) may continue for 30 seconds beyond
    /// the maximum age. If the answer mustn't outlive its request's
    /// [credentials](crate::guide::clients#credentials-that-expire), set a [grace](MaxAge::grace)
    /// of zero.
    pub fn max_age(mut self, max_age: impl Into<MaxAge>) -> Self {
        self.max_age = vec![max_age.into()];
        self
    }

    /// Makes the stream a long poll, for clients behind a proxy that holds an answer back until the
    /// answer ends. The stream ends cleanly for every client once it has sent what its source had
    /// ready, or `max_wait` after its first poll at the latest. A source that is mid-event by then
    /// has 5 seconds to complete the event, or the body fails. The client then reconnects and
    /// continues after its last id. If the source's events have no ids, events between two polls
    /// are lost. By default, a hub sends a new client an id at once only if it's an `EventSource`
    /// or a [library](ClientKind::Library): for a `fetch`, turn
    /// [`start_event`](crate::hub::Subscribe::start_event) on.
    ///
    /// By default, an `EventSource` reconnects after a random time from 200 to 1,000 milliseconds.
    /// If the stream begins with the event [`start`](crate::hub::Subscribe::start_event), the
    /// stream waits for at most one second, because a proxy that fails longer answers would keep
    /// the id from the client.
    ///
    /// Between two polls, the client has no open stream. Its place under a
    /// [limit](crate::SseLayer::max_streams) is free for any other client, and [closing its
    /// streams](crate::streams) doesn't reach it: authenticate each request.
    ///
    /// The layer can't see events in a body with a content coding, so such a body fails after
    /// `max_wait`. A layer inside of a [`RunLayer`](crate::runs::RunLayer) ignores this option.
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::extract::Query;
    /// use tower_sse::StreamOptions;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Params {
    ///     closeafter: Option<String>,
    /// }
    ///
    /// /// Returns the options for `/events` and for JMAP's `/events?closeafter=state`.
    /// fn options(Query(params): Query<Params>) -> StreamOptions {
    ///     match params.closeafter.as_deref() {
    ///         Some("state") => StreamOptions::new().long_poll(Duration::from_secs(25)),
    ///         _ => StreamOptions::new(),
    ///     }
    /// }
    /// ```
    ///
    /// For a query like `poll=8`, the layer can [set this](crate::SseLayer::long_poll_query).
    pub const fn long_poll(mut self, max_wait: Duration) -> Self {
        self.long_poll = Some(max_wait);
        self
    }

    /// Sets how the stream ends at the shutdown; see [`SseLayer::drain`](crate::SseLayer::drain).
    ///
    /// `drain` replaces the layer's whole drain, including its [`Drain::retry`].
    pub fn drain(mut self, drain: Drain) -> Self {
        self.drain = Some(drain);
        self
    }

    /// Sends a [farewell](crate::SseLayer::farewell) when the shutdown ends the stream.
    pub fn farewell(mut self, farewell: impl Into<Event>) -> Self {
        self.farewell = Some(last_event(farewell.into()).unwrap_or_default());
        self
    }

    /// Sends no event when the shutdown ends the stream.
    pub fn without_farewell(mut self) -> Self {
        self.farewell = Some(Bytes::new());
        self
    }

    /// Sends a [terminator](crate::SseLayer::terminator) after the source has ended cleanly.
    pub fn terminator(mut self, terminator: impl Into<Event>) -> Self {
        self.terminator = Some(last_event(terminator.into()).unwrap_or_default());
        self
    }

    /// Sends no event after the source has ended cleanly.
    pub fn without_terminator(mut self) -> Self {
        self.terminator = Some(Bytes::new());
        self
    }
}

/// Merging the options of a layer, a request and a response.
impl StreamOptions {
    /// Adds these options to those that a response already has. `Extensions::insert` would drop the
    /// earlier options. An option that is set here replaces the response's, with [two
    /// exceptions](Self#precedence).
    ///
    /// ```
    /// use http::Response;
    /// use tower_sse::StreamOptions;
    ///
    /// # let mut response = Response::new(());
    /// StreamOptions::new().terminator("[DONE]").merge_into(&mut response);
    /// StreamOptions::new().without_heartbeat().merge_into(&mut response); // Keeps the terminator.
    /// ```
    pub fn merge_into<B>(self, response: &mut Response<B>) {
        self.merge_into_extensions(response.extensions_mut());
    }

    /// Adds these options to those in the extensions of a request or a response. Outside of the
    /// layer, pass the request's extensions. Inside of it, pass the
    /// [response's](crate::guide::clients#credentials-that-expire).
    pub fn merge_into_extensions(self, extensions: &mut Extensions) {
        let merged = match extensions.get() {
            Some(earlier) => self.over(earlier),
            None => self,
        };
        extensions.insert(merged);
    }

    /// Returns what [`or`](Self::or) returns, except that the maximum ages of `self` and of `below`
    /// all count.
    pub(crate) fn over(self, below: &Self) -> Self {
        let max_age = [&*self.max_age, &*below.max_age].concat();
        Self { max_age, ..self.or(below) }
    }

    /// Draws a time for each maximum age and returns the shortest, if any is set.
    pub(crate) fn draw_max_age(&self, client: ClientKind) -> Option<Duration> {
        self.max_age.iter().map(|max_age| max_age.draw(client)).min()
    }

    /// Returns the options that apply to every client of one source: all but the maximum age, the
    /// long poll and `on_close`, which concern only the client for which they were set.
    pub(crate) fn for_other_clients(&self) -> Self {
        Self { max_age: Vec::new(), long_poll: None, on_close: None, ..self.clone() }
    }

    /// Returns these options. An option that is not set here is taken from `defaults`. The
    /// `on_close` closures of `defaults` are called too.
    pub(crate) fn or(self, defaults: &Self) -> Self {
        Self {
            heartbeat: self.heartbeat.or_else(|| defaults.heartbeat.clone()),
            retry: self.retry.or(defaults.retry),
            omits_defaults: self.omits_defaults || defaults.omits_defaults,
            is_recorded: self.is_recorded || defaults.is_recorded,
            client_kind: self.client_kind.or(defaults.client_kind),
            padding: self.padding.or_else(|| defaults.padding.clone()),
            max_age: if self.max_age.is_empty() { defaults.max_age.clone() } else { self.max_age },
            long_poll: self.long_poll.or(defaults.long_poll),
            drain: self.drain.or_else(|| defaults.drain.clone()),
            farewell: self.farewell.or_else(|| defaults.farewell.clone()),
            terminator: self.terminator.or_else(|| defaults.terminator.clone()),
            on_error: self.on_error.or_else(|| defaults.on_error.clone()),
            on_close: both(defaults.on_close.clone(), self.on_close),
        }
    }
}

/// Closures that are called when the stream fails or has closed.
impl StreamOptions {
    /// Turns an error from the source into the stream's [last event](crate::SseLayer::on_error).
    pub fn on_error<F>(mut self, to_event: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> Event + Send + Sync + 'static,
    {
        self.on_error = Some(Opaque(Arc::new(to_event)));
        self
    }

    /// Calls a closure once when the stream has closed, after the layer's closures; see
    /// [`SseLayer::on_close`](crate::SseLayer::on_close).
    ///
    /// It isn't called if no stream opens, for example because the layer answers with a refusal,
    /// `204` or `406`. To release a resource in these cases too, move a guard into the handler's
    /// stream.
    pub fn on_close<F>(mut self, callback: F) -> Self
    where
        F: Fn(&CloseReport) + Send + Sync + 'static,
    {
        self.on_close = both(self.on_close.take(), Some(Opaque(Arc::new(callback))));
        self
    }
}

pub(crate) type OnOpen = Opaque<Arc<dyn Fn() + Send + Sync>>;
pub(crate) type OnClose = Opaque<Arc<dyn Fn(&CloseReport) + Send + Sync>>;
type ErrorToEvent = Opaque<Arc<dyn Fn(&(dyn Error + 'static)) -> Event + Send + Sync>>;

pub(crate) type CancellationIf = Opaque<Arc<dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync>>;

/// Returns a closure that calls `first` and then `second`, even if `first` panics.
pub(super) fn both(first: Option<OnClose>, second: Option<OnClose>) -> Option<OnClose> {
    let (Some(first), Some(second)) = (&first, &second) else { return first.or(second) };
    let (first, second) = (first.clone(), second.clone());
    Some(Opaque(Arc::new(move |report| {
        _ = catch_panic(|| first(report));
        second(report);
    })))
}

/// Encodes the last event of a stream. Returns `None` if the event has neither data nor a name.
pub(super) fn last_event(event: Event) -> Option<Bytes> {
    let dispatched = event.dispatched();
    if dispatched.is_none() {
        warn!("a last event without data and name is not sent: no client would dispatch it");
    }
    dispatched.map(|event| Encoded::from(event).into())
}
