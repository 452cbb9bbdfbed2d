use std::{mem, sync::Arc, thread};

use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::rules::without_panic;
use crate::{
    connection::{CloseReason, Closed, DisconnectGuard},
    stats::Stats,
};

pub(crate) type OnOpen = dyn Fn() + Send + Sync;
pub(crate) type OnClose = dyn Fn(&Closed) + Send + Sync;

/// The account of one open stream, kept until it closes. However that happens, there is one close
/// report: when nobody else has said why before, the stream was dropped because the client left.
pub(crate) struct Report {
    opened: Instant,
    frames: u64,
    bytes: u64,
    heartbeats: u64,
    /// What of these is in `stats`: frames, bytes, heartbeats.
    told: (u64, u64, u64),
    stats: Stats,
    on_close: Option<Arc<OnClose>>,
    disconnect: Option<DisconnectGuard>,
    permit: Option<OwnedSemaphorePermit>,
    /// The request's span, in which all is told.
    #[cfg(feature = "tracing")]
    span: tracing::Span,
    /// If the stream is dropped now, that is why.
    reason: CloseReason,
    closed: bool,
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
        for told in on_open {
            _ = without_panic(|| told());
        }
        Self {
            opened: Instant::now(),
            frames: 0,
            bytes: 0,
            heartbeats: 0,
            told: (0, 0, 0),
            stats,
            on_close,
            disconnect,
            permit,
            #[cfg(feature = "tracing")]
            span: tracing::Span::current(),
            reason: CloseReason::Disconnected,
            closed: false,
        }
    }

    /// What a call of the source returns. If it panics and the stream is dropped for it, it is known
    /// why, on whichever thread and whenever that is.
    pub(crate) fn within_source<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let reason = mem::replace(&mut self.reason, CloseReason::Panicked);
        let returned = call();
        self.reason = reason;
        returned
    }

    /// A frame of data goes out.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
        // After a heartbeat nothing else is waiting to be sent.
        let (_, _, heartbeats) = self.told;
        if self.heartbeats != heartbeats {
            self.tell_stats();
        }
    }

    /// The frame that goes out next is a heartbeat.
    pub(super) const fn heartbeat(&mut self) {
        self.heartbeats += 1;
    }

    /// Whatever happens from now on, this will have been the `reason`.
    pub(crate) const fn set_reason(&mut self, reason: CloseReason) {
        self.reason = reason;
    }

    /// The stream is over, for the reason that was expected.
    pub(super) fn close(&mut self) {
        if mem::replace(&mut self.closed, true) {
            return;
        }
        drop(self.permit.take());
        let reason = self.reason;
        let closed = Closed {
            reason,
            age: self.opened.elapsed(),
            frames: self.frames,
            bytes: self.bytes,
            heartbeats: self.heartbeats,
        };
        self.tell_stats();
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
            _ = without_panic(|| on_close(&closed));
        }
    }

    fn tell_stats(&mut self) {
        let (frames, bytes, heartbeats) = self.told;
        self.told = (self.frames, self.bytes, self.heartbeats);
        self.stats.sent(self.frames - frames, self.bytes - bytes, self.heartbeats - heartbeats);
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
