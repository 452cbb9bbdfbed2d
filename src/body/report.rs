use std::{mem, sync::Arc, thread};

use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::{
    callback::catch_panic,
    connection::{CloseReason, CloseReport, DisconnectGuard},
    options::{OnClose, OnOpen},
    stats::Stats,
};

/// Counts what is sent of one open stream, and makes its close report. However the stream closes,
/// there is one report: if nothing else was said before, the client left.
// In this order in memory, because an event needs the first fields only.
#[repr(C)]
pub(crate) struct Report {
    frames: u64,
    bytes: u64,
    heartbeats: u64,
    /// If the stream is dropped now, that is why.
    reason: CloseReason,
    /// The shared counters lag behind, because a heartbeat was sent.
    stats_due: bool,
    /// `None` once the report was made.
    account: Option<Account>,
}

/// What is needed when a stream opens and closes.
struct Account {
    opened: Instant,
    /// What is in `stats` already: frames, bytes, heartbeats.
    counted: (u64, u64, u64),
    stats: Stats,
    on_close: Option<Arc<OnClose>>,
    disconnect: Option<DisconnectGuard>,
    permit: Option<OwnedSemaphorePermit>,
    /// The request's span, in which the close is reported.
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl Report {
    /// Opens a stream.
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
        let account = Account {
            opened: Instant::now(),
            counted: (0, 0, 0),
            stats,
            on_close,
            disconnect,
            permit,
            #[cfg(feature = "tracing")]
            span: tracing::Span::current(),
        };
        Self {
            frames: 0,
            bytes: 0,
            heartbeats: 0,
            reason: CloseReason::Disconnected,
            stats_due: false,
            account: Some(account),
        }
    }

    /// Calls the source. If it panics and the stream is dropped for it, the reason is known, on
    /// whichever thread and whenever that is.
    pub(crate) fn within_source<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let reason = mem::replace(&mut self.reason, CloseReason::Panicked);
        let returned = call();
        self.reason = reason;
        returned
    }

    /// Counts a frame of data that is sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
        // After a heartbeat nothing else is waiting to be sent.
        if mem::take(&mut self.stats_due) {
            self.update_stats();
        }
    }

    /// Counts the frame that is sent next as a heartbeat.
    pub(super) const fn heartbeat(&mut self) {
        self.heartbeats += 1;
        self.stats_due = true;
    }

    /// Sets the reason that the close report will have, whatever happens from now on.
    pub(crate) const fn set_reason(&mut self, reason: CloseReason) {
        self.reason = reason;
    }

    fn update_stats(&mut self) {
        if let Some(account) = self.account.as_mut() {
            account.update_stats(self.frames, self.bytes, self.heartbeats);
        }
    }

    /// Makes the close report, with the reason that was set, unless it was made before.
    pub(super) fn close(&mut self) {
        self.update_stats();
        if let Some(account) = self.account.take() {
            account.close(self.reason, self.frames, self.bytes, self.heartbeats);
        }
    }
}

impl Account {
    fn update_stats(&mut self, frames: u64, bytes: u64, heartbeats: u64) {
        let counted = mem::replace(&mut self.counted, (frames, bytes, heartbeats));
        self.stats.sent(frames - counted.0, bytes - counted.1, heartbeats - counted.2);
    }

    fn close(mut self, reason: CloseReason, frames: u64, bytes: u64, heartbeats: u64) {
        drop(self.permit.take());
        let age = self.opened.elapsed();
        let closed = CloseReport { reason, age, frames, bytes, heartbeats };
        self.stats.closed(&closed);
        #[cfg(feature = "tracing")]
        let _span = self.span.enter();
        debug!(
            reason = reason.as_str(),
            age = ?closed.age,
            frames = closed.frames,
            bytes = closed.bytes,
            heartbeats = closed.heartbeats,
            "an event stream closed"
        );
        if let Some(mut disconnect) = self.disconnect.take() {
            disconnect.set_reason(reason);
        }
        if let Some(on_close) = self.on_close.take() {
            _ = catch_panic(|| on_close(&closed));
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if self.reason == CloseReason::Disconnected && thread::panicking() {
            self.reason = CloseReason::Panicked;
        }
        self.close();
    }
}
