use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{task::JoinError, time::Instant};

use super::stream_options::{CancellationIf, last_event};
use super::{COMMENT_LINE, Drain, Heartbeat, Retry, StreamOptions, has_retry_line, with_id};
use crate::callback::catch_panic;
use crate::connection::ClientKind;
use crate::event::{Encoded, Event};
use crate::signals::{Interrupted, StartAt, interruption};
use crate::signals::{program_error, source_error};
use crate::{BoxError, error::causes};

/// The options of a layer, or those of one stream, merged from its layer, request and response.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedOptions {
    pub(crate) merged: StreamOptions,
    pub(crate) cancellation_if: Vec<CancellationIf>,
    /// The start of the time grid that the heartbeats of a layer share.
    grid: Instant,
}

/// How long a stream may be idle before its `IdleTimer` fires.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleInterval {
    pub(crate) length: Duration,
    /// The start of the grid to which deadlines are rounded up, if there is a grid.
    pub(crate) grid: Option<Instant>,
}

/// The longest wait of a long poll whose answer begins with the event `start`. If a proxy gave up
/// during a longer wait, the client would never get this event and its id.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The shortest wait of a long poll, in which the source can send what is ready.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

impl Default for ResolvedOptions {
    fn default() -> Self {
        let merged = StreamOptions::new().heartbeat(Heartbeat::default());
        Self { merged, cancellation_if: Vec::new(), grid: Instant::now() }
    }
}

impl ResolvedOptions {
    /// Returns these options with `options` merged into them.
    pub(crate) fn with(&self, options: StreamOptions) -> Self {
        Self { merged: options.or(&self.merged), ..self.clone() }
    }

    pub(crate) fn of_stream(
        layer: &Arc<Self>,
        request: Option<StreamOptions>,
        response: Option<StreamOptions>,
    ) -> Arc<Self> {
        if request.is_none() && response.is_none() {
            return Arc::clone(layer);
        }
        let merged = request.unwrap_or_default().over(&layer.merged);
        let merged = response.unwrap_or_default().over(&merged);
        Arc::new(Self { merged, ..Self::clone(layer) })
    }

    /// Returns whether a run records the stream.
    pub(crate) fn is_recorded(&self) -> bool {
        self.merged.is_recorded
    }

    /// Returns the heartbeat. A recorded stream has no heartbeats that are events: the record would
    /// repeat them to each client of the run.
    pub(crate) fn heartbeat(&self) -> Option<&Heartbeat> {
        let heartbeat = self.merged.heartbeat.as_ref()?.as_ref();
        heartbeat.filter(|it| it.event.is_none() || !self.is_recorded())
    }

    pub(crate) fn heartbeat_event(&self) -> Option<&Bytes> {
        self.heartbeat()?.event.as_ref()
    }

    pub(crate) fn heartbeat_interval(&self) -> Option<IdleInterval> {
        let length = self.heartbeat()?.interval;
        Some(IdleInterval { length, grid: Some(self.grid) })
    }

    /// Returns the reconnection time at the start of this client's stream. The default is only for
    /// an `EventSource`, because some other clients take a block without data for an event.
    pub(crate) fn first_retry(&self, client: ClientKind) -> Option<Retry> {
        match self.merged.retry {
            Some(set) => set,
            None if client != ClientKind::EventSource || self.merged.omits_defaults => None,
            None if self.merged.long_poll.is_some() => Some(Retry::AT_ONCE),
            None => Some(Retry::SOON),
        }
    }

    /// Returns how long the stream may wait as a long poll. A recorded stream is never a long poll:
    /// each of its clients polls by itself.
    pub(crate) fn max_wait(&self, has_start: bool) -> Option<Duration> {
        let max_wait = self.merged.long_poll.filter(|_| !self.is_recorded())?.max(SHORTEST_WAIT);
        Some(if has_start { max_wait.min(FIRST_WAIT) } else { max_wait })
    }

    /// Returns the lines at the start of the stream, the event `start` last.
    pub(crate) fn preamble(&self, retry: Option<Retry>, start: Bytes) -> Bytes {
        let retry = retry.map(Retry::line).unwrap_or_default();
        let padding = self.merged.padding.as_deref().cloned().unwrap_or_default();
        joined(joined(retry, padding), start)
    }

    /// Decides whether the stream begins with a heartbeat event, which shows a page that the stream
    /// passes. A poll doesn't: its first event comes at once or ends it. Nor does a library's
    /// stream: some libraries forget their id at an event without one.
    pub(crate) fn begins_with_heartbeat(&self, client: ClientKind) -> bool {
        let is_poll = self.merged.long_poll.is_some();
        self.heartbeat_event().is_some() && !is_poll && client != ClientKind::Library
    }

    /// Returns the heartbeat with which a stream begins. Without heartbeats, it's a comment, for
    /// proxies that hold an early head back until the body's first byte.
    pub(crate) fn first_sign(&self, id_line: Option<&Bytes>) -> Bytes {
        self.heartbeat().map_or(COMMENT_LINE, |it| it.between_events(id_line))
    }

    /// Returns whether the layer has events that repeat the client's id.
    pub(crate) fn repeats_id(&self, client: ClientKind) -> bool {
        let StreamOptions { farewell, terminator, on_error, .. } = &self.merged;
        let mut last = [farewell, terminator].into_iter().flatten();
        let has_last = on_error.is_some() || last.any(|event| !event.is_empty());
        self.heartbeat_event().is_some() || has_last && client.resumes()
    }

    pub(crate) fn terminator(&self, id_line: Option<&Bytes>) -> Option<Bytes> {
        let terminator = self.merged.terminator.as_ref().filter(|event| !event.is_empty());
        terminator.map(|event| with_id(event, id_line))
    }

    pub(crate) fn drain(&self) -> Drain {
        self.merged.drain.clone().unwrap_or_default()
    }

    /// Returns the last bytes of a stream that the shutdown ends between events: a `retry` line and
    /// the farewell. If the farewell has a `retry` line, no other `retry` line is added: some
    /// clients reject a block with two.
    pub(crate) fn goodbye(&self, id_line: Option<&Bytes>) -> Bytes {
        let farewell = self.merged.farewell.as_ref();
        let farewell = farewell.map(|event| with_id(event, id_line)).unwrap_or_default();
        let retry =
            if has_retry_line(&farewell) { Bytes::new() } else { self.drain().retry.line() };
        joined(retry, farewell)
    }

    /// Returns the event into which `on_error` turns `error`, or `None` if `on_error` is not set or
    /// panics, or if the event has neither data nor a name.
    ///
    /// For an `EventSource` whose answer was [interrupted](Interrupted), the event of `on_error`
    /// gets the id that stops the client, and [`interruption`] is returned instead of `None`.
    pub(crate) fn event_for(&self, error: &BoxError, client: ClientKind) -> Option<Bytes> {
        let to_event = self.merged.on_error.as_ref();
        let event = to_event.and_then(|to_event| catch_panic(|| to_event(source_error(&**error))));
        let is_page = client == ClientKind::EventSource && !self.is_recorded();
        let Some(id) = Interrupted::id_of(&**error).filter(|_| is_page) else {
            return last_event(event?);
        };
        let own = event.and_then(|event| last_event(event.id(id)));
        own.or_else(|| last_event(interruption(id)))
    }
}

/// Returns the event `start` with the stream's position, or only an id line, or no bytes if
/// the position has no id.
pub(crate) fn start_event(start: StartAt, client: ClientKind, omits_defaults: bool) -> Bytes {
    // The testing client sets `omits_defaults`. Its decoder keeps the id of an event without data,
    // so it needs no event `start`.
    let is_default = start.is_sent_to(client) && !omits_defaults;
    let Some(id) = start.id else { return Bytes::new() };
    let id = Event::new().id(id);
    let is_event = is_default || start.is_for_all == Some(true);
    Encoded::from(if is_event { id.event("start").data("{}") } else { id }).into()
}

/// Returns `first` and then `second`, without a copy if one of them is empty.
pub(crate) fn joined(first: Bytes, second: Bytes) -> Bytes {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => second,
        (_, true) => first,
        (false, false) => [first, second].concat().into(),
    }
}

impl ResolvedOptions {
    /// Decides whether an error from the source is a cancellation. A reset connection isn't one:
    /// after a clean end, the client would take a partial answer for the complete one.
    pub(crate) fn is_cancellation(&self, error: &BoxError) -> bool {
        // A framework's own error doesn't count: tonic turns an upstream's reset into a
        // `Cancelled` status.
        let error = program_error(&**error);
        is_cancelled_task(error)
            || self.cancellation_if.iter().any(|predicate| {
                causes(error).any(|cause| catch_panic(|| predicate(cause)).unwrap_or_default())
            })
    }
}

fn is_cancelled_task(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .any(|cause| cause.downcast_ref::<JoinError>().is_some_and(JoinError::is_cancelled))
}
