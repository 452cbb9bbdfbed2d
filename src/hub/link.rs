use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    PublishError,
    broker::{Publisher, Publishing},
};
use crate::{BoxError, event::Event};

/// A hub's side of the connection to its broker. Dropping it ends the broker's side.
pub(super) struct Link {
    /// Set once the broker has connected, before the program gets the hub.
    publisher: OnceLock<Box<dyn Publisher>>,
    /// Cancelled when the hub is closed or dropped.
    closed: CancellationToken,
    /// Whether the warning about `publish_now` has been logged.
    has_warned: AtomicBool,
    /// The age of the newest event at its reception, in microseconds. 0 until an event after the
    /// history is received.
    lag: AtomicU64,
}

impl Link {
    pub(super) fn new(closed: CancellationToken) -> Self {
        Self {
            publisher: OnceLock::new(),
            closed,
            has_warned: AtomicBool::new(false),
            lag: AtomicU64::new(0),
        }
    }

    pub(super) fn set_publisher(&self, publisher: Box<dyn Publisher>) {
        // The hub connects once.
        _ = self.publisher.set(publisher);
    }

    pub(super) fn publish(&self, topic: &str, event: &Event) -> Publishing {
        match self.publisher.get() {
            Some(publisher) => publisher.publish(topic, event),
            None => Box::pin(async {
                Err(PublishError::Refused(BoxError::from("hub is still connecting")))
            }),
        }
    }

    pub(super) fn newest_possible(&self, committed: u64) -> u64 {
        self.publisher.get().map_or(committed, |publisher| publisher.newest_possible(committed))
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    pub(super) fn warn_not_in_process(&self) {
        if !self.has_warned.swap(true, Relaxed) {
            warn!("`publish_now` cannot publish through a broker: use `publish`");
        }
    }

    /// Sets the lag. Does nothing while the history is loaded: old events do not mean that the hub
    /// is behind.
    pub(super) fn set_lag(&self, lag: Duration) {
        if self.publisher.get().is_none() {
            return;
        }
        self.lag.store(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn lag(&self) -> Duration {
        Duration::from_micros(self.lag.load(Relaxed))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("lag", &self.lag()).finish_non_exhaustive()
    }
}
