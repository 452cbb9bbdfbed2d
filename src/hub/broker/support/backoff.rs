use std::time::Duration;

/// The maximum delay before the first attempt to reconnect. It doubles with each attempt.
const BASE: Duration = Duration::from_millis(50);
/// The maximum delay before any attempt.
const MAX: Duration = Duration::from_secs(2);
/// After a session of this length, the delays start over.
const STABLE_SESSION: Duration = Duration::from_secs(5);

/// The delays before attempts to reconnect.
#[derive(Debug)]
pub struct Backoff {
    attempts: u32,
    max: Duration,
}

impl Backoff {
    /// Creates a series of delays of up to `max` each, and at most 2 seconds.
    #[must_use]
    pub fn up_to(max: Duration) -> Self {
        Self { attempts: 0, max: max.min(MAX) }
    }

    /// Starts over if the session was stable.
    pub fn end_session(&mut self, age: Duration) {
        if age >= STABLE_SESSION {
            self.attempts = 0;
        }
    }

    /// Returns the delay before the next attempt: a random value from half of the maximum up to the
    /// maximum, which doubles with each attempt. Processes therefore do not reconnect at the same
    /// time.
    pub fn next_delay(&mut self) -> Duration {
        let max = BASE.saturating_mul(1 << self.attempts.min(8)).min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        max.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}
