use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::publisher::{Acknowledged, AnyPublisher, Publication, Publisher};
use crate::hub::PublishError;

/// A hub's side of the connection to its broker. Dropping it ends the broker's side.
pub(crate) struct Link {
    /// Set once the broker has connected, before the program gets the hub.
    publisher: OnceLock<Box<dyn AnyPublisher>>,
    /// Cancelled when the hub is closed or dropped.
    pub(crate) closed: CancellationToken,
    _closed_when_dropped: DropGuard,
    /// Whether the warning about `publish_now` has been logged.
    has_warned: AtomicBool,
    /// How old the newest event was when it was received, in microseconds. 0 until an event after the
    /// history is received.
    lag: AtomicU64,
}

impl Link {
    pub(crate) fn new(closed: CancellationToken) -> Self {
        Self {
            publisher: OnceLock::new(),
            _closed_when_dropped: closed.clone().drop_guard(),
            closed,
            has_warned: AtomicBool::new(false),
            lag: AtomicU64::new(0),
        }
    }

    pub(crate) fn set_publisher(&self, publisher: impl Publisher) {
        // The hub connects once.
        _ = self.publisher.set(Box::new(publisher));
    }

    pub(crate) async fn publish(
        &self,
        publication: Publication,
    ) -> Result<Acknowledged, PublishError> {
        match self.publisher.get() {
            Some(publisher) => publisher.publish(publication).await,
            // Unreachable: the program receives the hub once the broker has connected.
            None => Err(PublishError::Closed),
        }
    }

    pub(crate) fn newest_possible(&self, committed: u64) -> u64 {
        self.publisher.get().map_or(committed, |publisher| publisher.newest_possible(committed))
    }

    pub(crate) fn warn_not_in_process(&self) {
        if !self.has_warned.swap(true, Relaxed) {
            warn!("`publish_now` cannot publish through a broker: use `publish`");
        }
    }

    /// Sets the lag. Does nothing while the history is loaded: old events do not mean that the hub
    /// is behind.
    pub(crate) fn set_lag(&self, lag: Duration) {
        if self.publisher.get().is_none() {
            return;
        }
        self.lag.store(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn lag(&self) -> Duration {
        Duration::from_micros(self.lag.load(Relaxed))
    }
}
