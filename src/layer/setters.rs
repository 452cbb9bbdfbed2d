//! The methods that set the options of [`SseLayer`], with an `impl` for each group of options.

use std::{error::Error, sync::Arc};

use http::request::Parts;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Refusal, SseLayer};
use crate::connection::{ClientKind, CloseReport};
use crate::options::{Drain, Heartbeat, MaxAge, Retry, StreamOptions};
use crate::{callback::Opaque, event::Event, shutdown::Shutdown, stats::Stats, streams::Streams};

/// Several options at once. Setting an option again usually [replaces its earlier
/// value](crate::StreamOptions#setting-and-turning-off-options).
impl<M> SseLayer<M> {
    /// Sets several stream options at once. Options that `options` doesn't set keep their values.
    ///
    /// ```
    /// use tower_sse::{SseLayer, StreamOptions};
    /// let options = StreamOptions::new().without_heartbeat().terminator("[END]");
    /// let layer: SseLayer = SseLayer::new().padding(2048).options(options);
    /// ```
    pub fn options(mut self, options: StreamOptions) -> Self {
        let config = self.config_mut();
        config.options = Arc::new(config.options.with(options));
        self
    }

    /// Sets what pages with the module [`tower-sse.js`](crate::page) expect:
    ///
    /// - Heartbeats are [events for pages](Heartbeat::for_pages), every 15 seconds. For another
    ///   interval, call [`heartbeat`](Self::heartbeat) afterwards.
    /// - The query parameter `last` has the [last event id](Self::last_event_id_query).
    /// - The query parameter `poll` asks for a [long poll](Self::long_poll_query).
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().for_pages();
    /// ```
    pub fn for_pages(self) -> Self {
        let heartbeat = Heartbeat::default().for_pages();
        self.heartbeat(heartbeat).last_event_id_query("last").long_poll_query("poll")
    }
}

/// Options that keep idle streams open and stop proxies from holding events back.
impl<M> SseLayer<M> {
    /// Sets the heartbeat of idle streams. The default is a comment line after 15 seconds. A
    /// [`Duration`](std::time::Duration) sets the interval of such comments.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().heartbeat(Duration::from_secs(30));
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `heartbeat` is a `Duration` of zero.
    #[doc(alias = "keep_alive")]
    #[doc(alias = "KeepAlive")]
    #[doc(alias = "ping")]
    pub fn heartbeat(self, heartbeat: impl Into<Heartbeat>) -> Self {
        self.options(StreamOptions::new().heartbeat(heartbeat))
    }

    /// Sends no heartbeats.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().without_heartbeat();
    /// ```
    pub fn without_heartbeat(self) -> Self {
        self.options(StreamOptions::new().without_heartbeat())
    }

    /// Starts streams with a comment line of `bytes` bytes, at least three. The padding is for
    /// proxies and old browsers that hold back the first 2 KiB of a response. Zero, the default,
    /// sends none. A body with a content coding gets no padding.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is more than 65,536.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().padding(2048);
    /// ```
    #[track_caller]
    pub fn padding(self, bytes: usize) -> Self {
        self.options(StreamOptions::new().padding(bytes))
    }

    /// Sets whether the layer adds the header [`incremental:
    /// ?1`](crate::guide::proxies#incremental) to streams that don't have it. On by default. Turn
    /// it off if a proxy on the way rejects responses with this header.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().incremental(false);
    /// ```
    pub fn incremental(mut self, is_sent: bool) -> Self {
        self.config_mut().omits_incremental = !is_sent;
        self
    }
}

/// Options for how clients reconnect and resume.
impl<M> SseLayer<M> {
    /// Reads the last event id from the query parameter `name` if the request has no valid
    /// `Last-Event-ID` header. Off by default.
    ///
    /// Page code can't set the header for the first connection of an `EventSource`, but it can set
    /// the parameter. Polyfills call it `lastEventId`, `evs_last_event_id` or `last_event_id`. Call
    /// this method once for each name, the preferred one first.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer =
    ///     SseLayer::new().last_event_id_query("lastEventId").last_event_id_query("last_event_id");
    /// ```
    pub fn last_event_id_query(mut self, name: impl Into<String>) -> Self {
        self.config_mut().last_event_id_query.push(name.into());
        self
    }

    /// Makes the stream of a `GET` a [long poll](crate::StreamOptions::long_poll) if the request
    /// has the query parameter `name`. Its value is the longest wait, in whole seconds: 0 counts as
    /// 1, numbers above 25 as 25, and the layer ignores other text. Off by default.
    ///
    /// A page in a [network that holds streams back](crate::guide::clients#in-a-page) sets the
    /// parameter. The options of a request or a response take precedence.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// // For `/events?poll=8&last=…`:
    /// let layer: SseLayer = SseLayer::new().last_event_id_query("last").long_poll_query("poll");
    /// ```
    pub fn long_poll_query(mut self, name: impl Into<String>) -> Self {
        self.config_mut().long_poll_query = Some(name.into());
        self
    }

    /// Sets the kind of client that sends the layer's `GET` and `HEAD` requests. By default, the
    /// layer [recognises](crate::guide::clients#how-clients-reconnect) the client by the request's
    /// headers. Requests with other methods are always calls.
    ///
    /// Set the kind if all clients of a route are of one kind that the layer can't recognise. For
    /// example, a script can send the same headers as a [`Library`](ClientKind::Library), but needs
    /// to see a refusal's status:
    ///
    /// ```
    /// use tower_sse::{ClientKind, SseLayer};
    /// let layer: SseLayer = SseLayer::new().client_kind(ClientKind::Other);
    /// ```
    ///
    /// If only your middleware knows the client, have it add the kind to the request, outside of
    /// the layer:
    ///
    /// ```
    /// use http::Request;
    /// use tower_sse::{ClientKind, StreamOptions};
    ///
    /// fn note_client<B>(request: &mut Request<B>) {
    ///     if request.headers().contains_key("x-our-script") {
    ///         let options = StreamOptions::new().client_kind(ClientKind::Other);
    ///         options.merge_into_extensions(request.extensions_mut());
    ///     }
    /// }
    /// # note_client(&mut Request::new(()));
    /// ```
    pub fn client_kind(self, kind: ClientKind) -> Self {
        self.options(StreamOptions::new().client_kind(kind))
    }

    /// Starts streams with a `retry` line, which sets how long the client waits before it
    /// reconnects. A [`Duration`](std::time::Duration) sets one time for all clients. A range
    /// ([`Retry::between`](crate::Retry::between)) spreads their reconnections after a crash.
    ///
    /// By default, the stream of an `EventSource` starts with a random reconnection time from 1 to
    /// 5 seconds. Streams of [other clients](crate::guide::clients#how-clients-reconnect) start
    /// without one. The layer starts no stream with a `retry` line if the stream has a content
    /// coding, or if the source's first lines are ready at once and have a `retry` field. In a [long
    /// poll](crate::StreamOptions::long_poll), the default time is 0.2 to 1 second.
    ///
    /// Don't set this option for two kinds of sources:
    ///
    /// - Sources that send `retry` lines, such as MCP servers. If you set it anyway, the first
    ///   event can have two `retry` lines, and rmcp's client fails.
    /// - Sources that send an empty line after a comment, such as axum's `Sse` with `KeepAlive`. If
    ///   the comment comes before the first event, httpx-sse returns an empty event.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().retry(Duration::from_secs(2));
    /// ```
    #[doc(alias = "reconnect")]
    pub fn retry(self, retry: impl Into<Retry>) -> Self {
        self.options(StreamOptions::new().retry(retry))
    }

    /// Starts streams without a reconnection time. If the source sends no time either, a new client
    /// uses its built-in time, usually a fixed one. [`Drain`](crate::Drain) and
    /// [`Refusal`](crate::Refusal) still send a reconnection time.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().without_retry();
    /// ```
    pub fn without_retry(self) -> Self {
        self.options(StreamOptions::new().without_retry())
    }
}

/// Options for how streams end.
impl<M> SseLayer<M> {
    /// Sends an event after the source has ended cleanly. By default, no event is sent. An
    /// `EventSource` still reconnects, unless page code closes it when the event arrives.
    ///
    /// The event isn't sent if it has neither data nor a name, or if the body has a content coding.
    /// Nor is it sent if the source fails, or ends mid-event. Set a terminator only for streams
    /// that you generate: a body from an [upstream](crate::guide::upstreams) often has its own.
    ///
    /// For an `EventSource` or a [library](ClientKind::Library), an event without an id repeats the
    /// client's, as a [heartbeat](crate::Heartbeat::event) does.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().terminator("[DONE]");
    /// ```
    ///
    /// You might expect `[DONE]` to mean that the answer is complete. But the terminator is also
    /// sent if [`take_until`](crate::guide::errors#stopping-a-stream) stops the source, or if the
    /// source is a channel whose sending task [panics](crate::guide::errors#tasks-that-panic).
    #[doc(alias = "DONE")]
    pub fn terminator(self, terminator: impl Into<Event>) -> Self {
        self.options(StreamOptions::new().terminator(terminator))
    }

    /// Turns an error from the source into the stream's final event. The stream then ends cleanly,
    /// without the [terminator](Self::terminator). By default, the body fails. An `EventSource`
    /// then reconnects, as after any end. Most other clients notice the error.
    ///
    /// The closure isn't called for a [cancellation](Self::cancellation_if). If the error comes
    /// mid-event, or if the body has a content coding, the body fails without a call. The body also
    /// fails if the closure panics or returns an event with neither data nor a name. In these two
    /// cases, and without this option, an `EventSource` that reads a failed [run](crate::runs), or
    /// gets a [late](crate::early_head#late-answers) `204` or `4xx`, gets the event
    /// [`interrupted`](crate::runs#half-an-answer) instead.
    ///
    /// ```
    /// use tower_sse::{Event, SseLayer};
    /// let layer: SseLayer = SseLayer::new().on_error(|error| {
    ///     tracing::error!(error, "the stream failed");
    ///     Event::new().event("failed").data("internal error")
    /// });
    /// ```
    ///
    /// Don't send the error's text to clients you don't trust. Don't name the event `error`:
    /// `EventSource` dispatches its own `error` event when the connection breaks. An event
    /// without an id repeats the client's, as a [terminator](Self::terminator) does.
    ///
    /// # The error
    ///
    /// The closure receives the error that your stream returned. Frameworks wrap it, axum in an
    /// `axum::Error` and tonic in a `Status`. The layer removes all wrappers from a body that this
    /// crate made, for example with [`response`](crate::response). From any other body, such as
    /// axum's `Sse`, it removes an `axum::Error` and everything around it, but nothing without the
    /// feature `axum`.
    ///
    /// For a [run](crate::runs), the closure receives your stream's error only in the process that
    /// started the run. In other processes, it receives a [`RunError`](crate::runs::RunError) with
    /// the error's text. For an `EventSource`, the closure's event gets the id `interrupted`,
    /// unless the reason is an evicted event or lost contact with the run's process.
    ///
    /// # A body that fails
    ///
    /// When a body fails, servers drop what they haven't written. So after the events that preceded
    /// the error, the layer writes an empty comment and waits up to about a second for the server
    /// to write everything. A compressor outside the layer keeps the comment until more bytes
    /// follow, so the layer writes another after 10 milliseconds. If the stream fails in the middle
    /// of a line, or is compressed inside the layer, the layer waits only 20 milliseconds. A slow
    /// client can still lose the last events.
    ///
    /// Over HTTP/1, hyper's `serve_connection` then returns the error `error from user's Body
    /// stream`, which `axum::serve` logs only at TRACE. Over HTTP/2, hyper resets the stream,
    /// usually with `INTERNAL_ERROR`, and reports nothing. nginx, if it speaks HTTP/1.1 to your
    /// server, logs `upstream prematurely closed connection` at level `error`.
    pub fn on_error<F>(self, to_event: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> Event + Send + Sync + 'static,
    {
        self.options(StreamOptions::new().on_error(to_event))
    }

    /// Treats an error from the source as a cancellation if the closure returns `true`. A
    /// cancellation means that your program itself has stopped the source. By default, only the
    /// [`JoinError`](tokio::task::JoinError) of a cancelled task counts as a cancellation.
    ///
    /// For a cancellation, [`on_error`](Self::on_error) isn't called, and the close reason is
    /// [`Cancelled`](crate::CloseReason::Cancelled). If the error comes between events, and the
    /// body has no content coding, the stream of an `EventSource` ends cleanly. In all other cases,
    /// the body fails.
    ///
    /// Don't return `true` for an upstream's reset or timeout: a clean end would hide that the
    /// answer is incomplete. The guide has [predicates](crate::guide::errors#cancellations) for
    /// tonic and hyper.
    ///
    /// The closure is called for the error that your stream returned, as
    /// [`on_error`](Self::on_error) receives it, and then for each of the error's causes, until one
    /// call returns `true`. A panic counts as `false`. For a [run](crate::runs), the error is
    /// always a [`RunError`](crate::runs::RunError), so even a cancelled task's `JoinError` is a
    /// failure.
    ///
    /// ```
    /// use tokio::sync::oneshot::error::RecvError;
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().cancellation_if(|error| error.is::<RecvError>());
    /// ```
    pub fn cancellation_if<F>(mut self, is_cancellation: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> bool + Send + Sync + 'static,
    {
        let options = Arc::make_mut(&mut self.config_mut().options);
        options.cancellation_if.push(Opaque(Arc::new(is_cancellation)));
        self
    }

    /// Lets you close or limit the streams of a subject, such as a user or a session: see the
    /// module [streams](crate::streams).
    ///
    /// The layer inserts [`Subjects`](crate::streams::Subjects) into every request's extensions.
    /// Add the stream's subjects in your own middleware or handler, inside the layer. By default,
    /// streams have none.
    ///
    /// ```
    /// use tower_sse::{SseLayer, streams::Streams};
    /// let streams = Streams::new();
    /// let layer: SseLayer = SseLayer::new().streams(&streams);
    /// ```
    #[doc(alias = "revoke")]
    #[doc(alias = "log_out")]
    pub fn streams(mut self, streams: &Streams) -> Self {
        self.config_mut().streams = Some(streams.clone());
        self
    }

    /// Limits the age of streams. By default there is no limit. A [`Duration`](std::time::Duration)
    /// sets a maximum age without jitter.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{MaxAge, SseLayer};
    /// let max_age = MaxAge::new(Duration::from_secs(3600)).jitter(0.1);
    /// let layer: SseLayer = SseLayer::new().max_age(max_age);
    /// ```
    #[doc(alias = "timeout")]
    pub fn max_age(self, max_age: impl Into<MaxAge>) -> Self {
        self.options(StreamOptions::new().max_age(max_age))
    }
}

/// Options of the shutdown.
impl<M> SseLayer<M> {
    /// Starts the layer's shutdown when the token is cancelled. Open streams then end according to
    /// [`drain`](Self::drain), and new ones are [refused](crate::Refusal#what-is-refused).
    ///
    /// Pass the token that also shuts the server down. Without this option, the graceful shutdown
    /// of axum or hyper waits for each open stream. Give the server's shutdown [a
    /// deadline](crate::guide::shutdown) too: the token can't end the stream of a client that
    /// doesn't read. For several layers, see [placement](crate::guide::placement#two-layers).
    ///
    /// ```
    /// use tokio_util::sync::CancellationToken;
    /// use tower_sse::SseLayer;
    /// let shutdown = CancellationToken::new();
    /// let layer: SseLayer = SseLayer::new().shutdown(shutdown.clone());
    /// ```
    #[doc(alias = "graceful_shutdown")]
    pub fn shutdown(mut self, token: CancellationToken) -> Self {
        self.config_mut().shutdown = Some(Shutdown::of(token));
        self
    }

    /// Sets when and how open streams end after the [shutdown](Self::shutdown) has begun. The
    /// default is [`Drain::per_client`]. The server's
    /// [deadline](crate::guide::shutdown#the-deadline) must be longer than the drain:
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Drain, SseLayer};
    /// // Set the deadline to 30 seconds.
    /// let drain = Drain::spread_over(Duration::from_secs(20));
    /// let layer: SseLayer = SseLayer::new().drain(drain);
    /// ```
    pub fn drain(self, drain: Drain) -> Self {
        self.options(StreamOptions::new().drain(drain))
    }

    /// Sends an event when the [shutdown](Self::shutdown) ends a stream between events. By default,
    /// no event is sent.
    ///
    /// Don't give the event an id, because the client would resume from that id. An event without
    /// one repeats the client's, as a [terminator](Self::terminator) does. The event isn't sent if
    /// it has neither data nor a name, or if the body has a content coding.
    ///
    /// Turn the farewell off for a language model's answers, with
    /// [`StreamOptions::without_farewell`](crate::StreamOptions::without_farewell): a client may
    /// take the event for part of the answer.
    ///
    /// ```
    /// use tower_sse::{Event, SseLayer};
    /// let farewell = Event::new().event("restart").data("back in a moment");
    /// let layer: SseLayer = SseLayer::new().farewell(farewell);
    /// ```
    #[doc(alias = "goodbye")]
    pub fn farewell(self, farewell: impl Into<Event>) -> Self {
        self.options(StreamOptions::new().farewell(farewell))
    }
}

/// Options for refusing streams.
impl<M> SseLayer<M> {
    /// Limits how many streams of this layer and its clones are open at the same time. The layer
    /// [refuses](Self::refusal) further streams, but opens those whose status isn't 200. By default
    /// there is no limit.
    ///
    /// If a client [doesn't read](crate::guide::proxies#hostile-http2-clients), its
    /// streams can still count after their maximum age.
    ///
    /// # Panics
    ///
    /// Panics if `limit` is zero.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().max_streams(10_000);
    /// ```
    #[track_caller]
    pub fn max_streams(mut self, limit: usize) -> Self {
        assert!(limit > 0, "the limit of open streams cannot be zero");
        let permits = Semaphore::new(limit.min(Semaphore::MAX_PERMITS));
        self.config_mut().permits = Some(Arc::new(permits));
        self
    }

    /// Sets the answer to clients that are refused because of [`max_streams`](Self::max_streams) or
    /// the [shutdown](Self::shutdown). The default is [`Refusal::per_client`].
    ///
    /// ```
    /// use tower_sse::{Refusal, SseLayer};
    /// let layer: SseLayer = SseLayer::new().max_streams(10_000).refusal(Refusal::unavailable());
    /// ```
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.config_mut().refusal = refusal;
        self
    }

    /// Answers `406 Not Acceptable` instead of an event stream with status 200 if the request
    /// doesn't accept event streams (RFC 9110, section 12.5.1). Off by default, because OpenAI's
    /// SDKs expect a stream although they send `Accept: application/json`.
    ///
    /// A request without `Accept` accepts anything.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().require_accept(true);
    /// ```
    pub fn require_accept(mut self, required: bool) -> Self {
        self.config_mut().require_accept = required;
        self
    }
}

/// Options that report what streams do.
impl<M> SseLayer<M> {
    /// Calls a closure when a stream opens, that is, when the layer gets the response head. A bare
    /// stream opens when the service is called.
    ///
    /// A `HEAD` request opens no stream. A [refused](crate::Refusal#what-is-refused) request
    /// usually opens none either.
    ///
    /// The closure runs in the server's task, so it must not block. A panic is caught.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().on_open(|| println!("a stream opened"));
    /// ```
    pub fn on_open<F>(mut self, callback: F) -> Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.config_mut().on_open.push(Opaque(Arc::new(callback)));
        self
    }

    /// Calls a closure with a [`CloseReport`] exactly once for each stream that was
    /// [opened](Self::on_open), whatever ended it. By then, the source has been dropped, and the
    /// stream's places in [`max_streams`](Self::max_streams) and in the
    /// [limits](crate::streams#limits-for-each-subject) of its subjects are free.
    ///
    /// The closure must not block: it runs in the server's task, or on the thread that drops the
    /// body. A panic is caught. With feature `tracing`, the closure runs in the request's span, and
    /// every close is logged at DEBUG.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().on_close(|report| {
    ///     println!("{} after {:?}, {} bytes", report.reason, report.age, report.bytes);
    /// });
    /// ```
    pub fn on_close<F>(self, callback: F) -> Self
    where
        F: Fn(&CloseReport) + Send + Sync + 'static,
    {
        self.options(StreamOptions::new().on_close(callback))
    }

    /// Counts the layer's streams in `stats`, which several layers can share.
    ///
    /// ```
    /// use tower_sse::{SseLayer, stats::Stats};
    /// let stats = Stats::new();
    /// let layer: SseLayer = SseLayer::new().stats(&stats);
    /// ```
    pub fn stats(mut self, stats: &Stats) -> Self {
        self.config_mut().stats = stats.clone();
        self
    }

    /// Inserts a [`Disconnect`](crate::Disconnect) into every request's extensions, so a handler's
    /// spawned tasks can tell when the response ends. Off by default, because it costs each request
    /// several allocations. Services that return a bare stream always get a `Disconnect`.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().track_disconnects(true);
    /// ```
    pub fn track_disconnects(mut self, tracked: bool) -> Self {
        self.config_mut().track_disconnects = tracked;
        self
    }

    /// Measures the time from the request to the [head](CloseReport::time_to_head) and to the
    /// [first event](CloseReport::time_to_first_event), for the [`CloseReport`] of each stream. Off
    /// by default, because it costs each request one or two allocations.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    /// let layer: SseLayer = SseLayer::new().timings(true).on_close(|report| {
    ///     println!("first event after {:?}", report.time_to_first_event);
    /// });
    /// ```
    pub fn timings(mut self, noted: bool) -> Self {
        self.config_mut().timings = noted;
        self
    }

    /// Gives each stream a label, such as the path of its route. By default streams have none.
    ///
    /// The [`CloseReport`] has the label. [`Stats`] counts the streams of the first 100 labels
    /// separately, and those of further labels as `other`. Don't use text that clients choose.
    ///
    /// The closure must not block. If it panics, the stream has no label. With axum, add the layer
    /// with `Router::layer`, so the closure finds the request's `MatchedPath`:
    ///
    /// ```
    /// use axum::extract::MatchedPath;
    /// use http::request::Parts;
    /// use tower_sse::SseLayer;
    ///
    /// fn route(parts: &Parts) -> String {
    ///     parts.extensions.get().map_or("other", MatchedPath::as_str).to_owned()
    /// }
    ///
    /// let layer: SseLayer = SseLayer::new().label(route);
    /// ```
    pub fn label<F, L>(mut self, label: F) -> Self
    where
        F: Fn(&Parts) -> L + Send + Sync + 'static,
        L: Into<Arc<str>>,
    {
        self.config_mut().label = Some(Opaque(Arc::new(move |parts: &Parts| label(parts).into())));
        self
    }
}
