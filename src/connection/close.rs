use std::{mem, sync::Arc, time::Duration};

named_enum! {
    /// The reason a stream closed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum CloseReason {
        /// The source ended cleanly, or the layer sent another answer in place of the stream.
        Ended = "ended",
        /// The source failed, whether or not [`on_error`](crate::SseLayer::on_error) or
        /// [`late_event`](crate::early_head::EarlyHeadLayer::late_event) turned its error into an
        /// event. `Failed` is also the reason if the service returned an error instead of a [bare
        /// stream](crate::SseLayer#services-that-return-a-bare-stream).
        Failed = "failed",
        /// The response or its future was dropped before the end of the stream. Usually the client
        /// has disconnected, but the server or an outer layer can also give up.
        Disconnected = "disconnected",
        /// The [shutdown](crate::SseLayer::shutdown) ended the stream.
        Drained = "drained",
        /// The stream reached its [maximum age](crate::SseLayer::max_age).
        Expired = "expired",
        /// The stream was a [long poll](crate::StreamOptions::long_poll) that was answered or timed
        /// out.
        Answered = "answered",
        /// The source panicked, or a panic in other code dropped the stream.
        Panicked = "panicked",
        /// The program cancelled the stream's [run](crate::runs::Runs::cancel) or its source. The
        /// layer treats a source as cancelled if it fails with a cancelled task's
        /// [`JoinError`](tokio::task::JoinError), or with an error for which
        /// [`cancellation_if`](crate::SseLayer::cancellation_if) returns `true`.
        Cancelled = "cancelled",
        /// The program [closed](crate::streams) the stream, or added a subject whose limit was
        /// reached.
        Revoked = "revoked",
    }
}

impl CloseReason {
    /// Calls `call` and returns its result. If `call` panics, the reason becomes `Panicked`, even
    /// if the stream is dropped later or on another thread.
    #[inline]
    pub(crate) fn noting_panic<T>(&mut self, call: impl FnOnce() -> T) -> T {
        struct Note<'r>(&'r mut CloseReason);

        impl Drop for Note<'_> {
            fn drop(&mut self) {
                *self.0 = CloseReason::Panicked;
            }
        }

        let note = Note(self);
        let returned = call();
        // Only a panic drops the note, so a call that returns does not touch the reason.
        mem::forget(note);
        returned
    }
}

/// The report on a closed stream, as passed to [`SseLayer::on_close`](crate::SseLayer::on_close).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Why the stream closed.
    pub reason: CloseReason,
    /// How long the stream was open.
    pub age: Duration,
    /// The number of data frames that were passed to the server, including the layer's own. A frame
    /// may contain several events, part of an event, or only a comment.
    pub frames: u64,
    /// The number of bytes in those frames. The client may not have received all of them.
    pub bytes: u64,
    /// The number of frames that were heartbeats.
    pub heartbeats: u64,
    /// The label of the stream, if [`SseLayer::label`](crate::SseLayer::label) gave it one.
    pub label: Option<Arc<str>>,
    /// The time from the request to the response head. `None` without
    /// [`SseLayer::timings`](crate::SseLayer::timings), or if the stream closed before the head.
    pub time_to_head: Option<Duration>,
    /// The time from the request until the server got the first byte of the source's first event.
    /// The layer's own events don't count. If the body has a content coding, the first byte of the
    /// body counts instead. `None` without [`SseLayer::timings`](crate::SseLayer::timings), or if
    /// there was no event.
    pub time_to_first_event: Option<Duration>,
}
