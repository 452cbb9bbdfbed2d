use std::{
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use tower_sse::hub::broker::support::lock;

/// An estimate of the server's clock, from its last response.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<(Duration, Instant)>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((Duration::ZERO, Instant::now())))
    }

    /// Sets the clock to a time that the server has just sent.
    pub(crate) fn set(&self, now: SystemTime) {
        *lock(&self.0) = (since_epoch(now), Instant::now());
    }

    /// Returns the time since 1970.
    pub(crate) fn now(&self) -> Duration {
        let (time, at) = *lock(&self.0);
        time.saturating_add(at.elapsed())
    }

    pub(crate) fn age_of(&self, time: SystemTime) -> Duration {
        self.now().saturating_sub(since_epoch(time))
    }
}

/// Returns the time since 1970, or zero for an earlier time.
pub(crate) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
