use std::time::Duration;

use crate::connection::ClientKind;

/// The maximum age of a stream.
///
/// A stream that has reached this age ends between two events, and its client has to reconnect. The
/// answer to a call (anything but a `GET`) has a [grace period](Self::grace). Whether the body ends
/// cleanly or fails [depends on the client](crate::guide::clients#how-clients-reconnect).
///
/// If the source doesn't finish the event it has begun, the body fails after 5 seconds. A body with
/// a content coding fails as soon as its time is up. If the [client doesn't
/// read](crate::guide::proxies#hostile-http2-clients), its stream can outlive the
/// maximum age.
#[derive(Clone, Debug, PartialEq)]
#[doc(alias = "timeout")]
#[must_use]
pub struct MaxAge {
    age: Duration,
    jitter: f64,
    grace: Duration,
}

pub(crate) const GRACE: Duration = Duration::from_secs(30);

impl MaxAge {
    /// Creates a maximum age, counted from the first poll of the body. An age that an answer sets
    /// after an [early head](crate::early_head) is counted from the answer.
    ///
    /// If `age` is zero, for example because a token has expired, the stream ends before its source
    /// is polled. Even calls get no grace period in that case.
    pub const fn new(age: Duration) -> Self {
        Self { age, jitter: 0.0, grace: GRACE }
    }

    /// Varies the age of each stream at random by up to `fraction`, so clients don't all reconnect
    /// at once. With 0.1, streams end at 90 to 110 percent of the age. The default is zero.
    ///
    /// # Panics
    ///
    /// Panics if `fraction` is not between 0 and 1.
    #[track_caller]
    pub const fn jitter(mut self, fraction: f64) -> Self {
        assert!(fraction >= 0.0 && fraction <= 1.0, "a fraction is between 0 and 1");
        self.jitter = fraction;
        self
    }

    /// Sets how long the answer to a call (anything but a `GET`) may continue beyond the maximum
    /// age. The default is 30 seconds. Set the grace period to zero if no call may outlive the
    /// maximum age.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    pub(super) fn draw(&self, client: ClientKind) -> Duration {
        if self.age.is_zero() {
            return self.age;
        }
        let factor = 1.0 + self.jitter * (2.0 * fastrand::f64() - 1.0);
        let age = Duration::try_from_secs_f64(self.age.as_secs_f64() * factor).unwrap_or(self.age);
        if client.is_call() { age.saturating_add(self.grace) } else { age }
    }
}

impl From<Duration> for MaxAge {
    /// Calls [`MaxAge::new`].
    fn from(age: Duration) -> Self {
        Self::new(age)
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, MaxAge};

    #[test]
    #[should_panic = "a fraction is between 0 and 1"]
    fn fraction_that_is_no_number_is_none() {
        _ = MaxAge::new(Duration::ZERO).jitter(f64::NAN);
    }
}
