use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;
use tower_sse::hub::broker::support::whole_milliseconds;

/// The precision of the estimate in milliseconds. It leaves out the delay of a reply, because
/// entries have the same delay.
const PRECISION: u64 = 10;

/// An estimate of the Redis server's clock, whose time the ids of entries contain.
#[derive(Debug)]
pub(crate) struct Clock {
    created: Instant,
    /// The server's time at the creation of this clock, in milliseconds.
    origin: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { created: Instant::now(), origin: AtomicU64::new(0) }
    }

    /// Sets the clock to the time that the server has just reported.
    pub(crate) fn set(&self, milliseconds: u64) {
        self.origin.store(milliseconds.saturating_sub(self.elapsed()), Relaxed);
    }

    /// Returns the server's time in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.origin.load(Relaxed).saturating_add(self.elapsed())
    }

    /// Returns whether a time is ahead of the server's clock.
    pub(crate) fn is_behind(&self, milliseconds: u64) -> bool {
        milliseconds > self.now().saturating_add(PRECISION)
    }

    /// Returns the age of an entry that was added at this server time.
    pub(crate) fn age_of(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(milliseconds))
    }

    fn elapsed(&self) -> u64 {
        whole_milliseconds(self.created.elapsed())
    }
}
