use std::{mem, sync::Arc, thread};

use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::{
    callback::catch_panic,
    connection::{CloseReason, CloseReport, DisconnectGuard},
    options::{OnClose, OnOpen},
    stats::Stats,
};

/// The record of one open stream: what it has sent, and what to do when it closes.
///
/// Each stream makes exactly one close report, on every exit path. If no other reason was set, the
/// reason is that the client disconnected.
// `repr(C)` keeps the fields that an event needs first.
#[repr(C)]
pub(crate) struct StreamRecord {
    /// The bytes that were passed to the server.
    bytes: u64,
    /// The reason that is reported if the stream is dropped now.
    reason: CloseReason,
    /// `None` once the close has been reported.
    stream: Option<OpenStream>,
}

/// The parts of a record that are needed only when the stream opens and closes.
struct OpenStream {
    opened_at: Instant,
    /// The bytes that have been added to `stats`.
    in_stats: u64,
    stats: Stats,
    on_close: Option<Arc<OnClose>>,
    disconnect: Option<DisconnectGuard>,
    permit: Option<OwnedSemaphorePermit>,
    /// The request's span, in which the close is logged.
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl StreamRecord {
    /// Counts an opened stream and calls the `on_open` callbacks.
    pub(crate) fn open(
        stats: Stats,
        on_open: &[Arc<OnOpen>],
        on_close: Option<Arc<OnClose>>,
        disconnect: Option<DisconnectGuard>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        stats.opened();
        for callback in on_open {
            _ = catch_panic(|| callback());
        }
        let stream = OpenStream {
            opened_at: Instant::now(),
            in_stats: 0,
            stats,
            on_close,
            disconnect,
            permit,
            #[cfg(feature = "tracing")]
            span: tracing::Span::current(),
        };
        Self { bytes: 0, reason: CloseReason::Disconnected, stream: Some(stream) }
    }

    /// Calls `call` and returns its result. If it panics, the close reason becomes
    /// [`CloseReason::Panicked`], even if the stream is dropped later or on another thread.
    pub(crate) fn noting_panic<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let reason = mem::replace(&mut self.reason, CloseReason::Panicked);
        let returned = call();
        self.reason = reason;
        returned
    }

    /// Counts bytes that are passed to the server.
    pub(super) const fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Sets the reason of the close report.
    pub(crate) const fn set_reason(&mut self, reason: CloseReason) {
        self.reason = reason;
    }

    /// Sets the reason of a stream that is dropped before it has ended.
    pub(super) fn set_reason_if_dropped(&mut self, reason: CloseReason) {
        if self.reason == CloseReason::Disconnected && !thread::panicking() {
            self.reason = reason;
        }
    }

    /// Adds the bytes so far to the shared counters.
    pub(super) fn update_stats(&mut self) {
        if let Some(stream) = self.stream.as_mut() {
            let before = mem::replace(&mut stream.in_stats, self.bytes);
            stream.stats.sent(self.bytes - before);
        }
    }

    /// Reports the close, unless it has been reported already.
    pub(super) fn close(&mut self) {
        self.update_stats();
        if let Some(stream) = self.stream.take() {
            stream.close(self.reason, self.bytes);
        }
    }
}

impl OpenStream {
    fn close(mut self, reason: CloseReason, bytes: u64) {
        drop(self.permit.take());
        let age = self.opened_at.elapsed();
        let report = CloseReport { reason, age, bytes };
        self.stats.closed(&report);
        #[cfg(feature = "tracing")]
        let _span = self.span.enter();
        debug!(reason = reason.as_str(), age = ?age, bytes, "an event stream closed");
        if let Some(mut disconnect) = self.disconnect.take() {
            disconnect.set_reason(reason);
        }
        if let Some(on_close) = self.on_close.take() {
            _ = catch_panic(|| on_close(&report));
        }
    }
}

impl Drop for StreamRecord {
    fn drop(&mut self) {
        if self.reason == CloseReason::Disconnected && thread::panicking() {
            self.reason = CloseReason::Panicked;
        }
        self.close();
    }
}
