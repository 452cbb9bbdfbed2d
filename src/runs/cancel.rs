use super::{RunKey, Runs, record::lines_of};
use crate::{connection::LastEventId, event::Event};

/// Stopping runs.
impl Runs {
    /// Cancels the run with this key, and returns whether it was starting or running.
    ///
    /// `last` is the id of the last event that the client has seen. If this run has not assigned
    /// the id, nothing is cancelled, so a late stop request cannot cancel the next turn of a chat.
    ///
    /// # Cancel safety
    ///
    /// The run is cancelled at the first poll. If the future is dropped before that, nothing
    /// happens. With [several processes](super#several-processes), the run may or may not be
    /// cancelled if the future is dropped.
    pub async fn cancel(&self, key: &RunKey, last: impl Into<Option<LastEventId>>) -> bool {
        let last = last.into().filter(|last| !last.is_empty());
        self.cancel_run(key, last.as_ref(), None).await
    }

    /// Cancels the run with this key as [`cancel`](Self::cancel) does, after a last event. Returns
    /// whether the run was starting or running.
    ///
    /// Attached clients receive the event before the end, and clients that resume later receive it
    /// too. The run records it like an event of its source.
    ///
    /// ```
    /// use tower_sse::{Event, LastEventId, runs::{RunKey, Runs}};
    ///
    /// async fn stop(runs: Runs, key: RunKey, last: Option<LastEventId>, tokens: u64) -> bool {
    ///     let usage = Event::new().event("usage").data(tokens.to_string());
    ///     runs.cancel_with(&key, last, usage).await
    /// }
    /// # _ = stop;
    /// ```
    ///
    /// It returns no error. The event is dropped in these cases:
    ///
    /// - The run is still starting, so it has no stream yet. It is cancelled without the event.
    /// - The event has neither a name nor data, or is larger than
    ///   [`retain_bytes`](super::RunsBuilder::retain_bytes) allows. The run is cancelled without it.
    /// - The run has ended, or has not assigned the id `last`. Nothing is cancelled.
    ///
    /// A run that has reached `retain_bytes` evicts its oldest events to make room for the last one.
    ///
    /// The source may send further events before this method is polled. A number of events that the
    /// program counted before can therefore be too low.
    ///
    /// # Several processes
    ///
    /// At the process that owns the run, all earlier events are exported first; the method waits for
    /// the store for up to two seconds. At any other process, the event follows those that the owner
    /// has exported. The number in its id is then a billion higher, because the owner's clients may
    /// have received later events.
    ///
    /// # Cancel safety
    ///
    /// The same as that of [`cancel`](Self::cancel). The run is never cancelled without the event
    /// because the future is dropped.
    pub async fn cancel_with(
        &self,
        key: &RunKey,
        last: impl Into<Option<LastEventId>>,
        event: impl Into<Event>,
    ) -> bool {
        let last = last.into().filter(|last| !last.is_empty());
        let lines = lines_of(event.into(), self.process.options.max_event());
        self.cancel_run(key, last.as_ref(), lines).await
    }
}
