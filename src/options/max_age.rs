use std::time::Duration;

use crate::connection::Client;

/// The maximum age of a stream.
///
/// At this age, the client has to reconnect: it authenticates again, and the load balancer chooses
/// its server again. The layer ends the stream between events, [in the way that makes its client
/// reconnect](crate::guide::clients#how-clients-reconnect). The answer to a call may take up to
/// 30 more seconds ([`grace`](Self::grace)) to end by itself.
///
/// If the source stays mid-event, the body fails after 5 seconds. A stream with a content coding
/// always fails. The stream of a [client that does not
/// read](crate::guide::proxies#http2-clients-that-grant-no-window) can outlive its maximum age.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{MaxAge, SseLayer};
///
/// # let layer: SseLayer =
/// SseLayer::new().max_age(MaxAge::new(Duration::from_secs(3600)).jitter(0.1));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[doc(alias = "timeout")]
#[must_use]
pub struct MaxAge {
    age: Duration,
    jitter: f64,
    grace: Duration,
    /// Another maximum age of the same stream: the shorter one counts.
    other: Option<Box<Self>>,
}

/// How long a call's answer may take to end by itself.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

impl MaxAge {
    /// Creates a maximum age, counted from the first poll of the body.
    ///
    /// The age may be zero, such as the remaining lifetime of an expired token. Streams then end
    /// before their source is polled, including the answers to calls.
    pub const fn new(age: Duration) -> Self {
        Self { age, jitter: 0.0, grace: GRACE, other: None }
    }

    /// Varies the age of each stream at random by up to `fraction`: with 0.1, streams end at 90 to
    /// 110 percent of the age. The default is zero.
    ///
    /// Jitter keeps clients that connected together, as after a deployment, from reconnecting
    /// together.
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

    /// Sets how long the answer to a call (a request by any method except `GET`) may continue
    /// beyond the maximum age. The default is 30 seconds.
    ///
    /// Set it to zero if no stream may outlive the age, for example if the age is the remaining
    /// lifetime of a token.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Returns the maximum age of a stream that has both: the one that ends it first, with its own
    /// grace.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.other = Some(Box::new(match self.other.take() {
            Some(earlier) => earlier.and(other),
            None => other,
        }));
        self
    }

    /// Draws the age at which one client's stream ends.
    pub(crate) fn draw(&self, client: Client) -> Duration {
        let age = self.draw_own(client);
        self.other.as_ref().map_or(age, |other| age.min(other.draw(client)))
    }

    fn draw_own(&self, client: Client) -> Duration {
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
    use std::time::Duration;

    use super::MaxAge;
    use crate::connection::Client;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn ages_are_spread_evenly_to_both_sides() {
        let max_age = MaxAge::new(HOUR).jitter(0.1);
        let ages: Vec<_> = (0..10_000).map(|_| max_age.draw(Client::Get).as_secs_f64()).collect();
        let (min, max) = (HOUR.as_secs_f64() * 0.9, HOUR.as_secs_f64() * 1.1);
        assert!(ages.iter().all(|age| (min..=max).contains(age)));
        for tenth in 0..10 {
            let from = min + (max - min) / 10.0 * f64::from(tenth);
            let tenth = from..from + (max - min) / 10.0;
            let count = ages.iter().filter(|age| tenth.contains(age)).count();
            assert!((800..1200).contains(&count), "{count} of 10,000 from {from}");
        }
    }

    #[test]
    fn without_jitter_the_age_is_exact_and_may_be_any() {
        for age in [Duration::ZERO, Duration::from_nanos(1), HOUR] {
            assert_eq!(MaxAge::new(age).draw(Client::Get), age);
        }
        let longest = MaxAge::new(Duration::MAX).draw(Client::Call);
        assert_eq!(longest, Duration::MAX);
        _ = MaxAge::new(Duration::MAX).jitter(1.0).draw(Client::Call);
    }

    #[test]
    fn calls_have_a_grace_unless_no_time_is_left() {
        let age = |max_age: MaxAge| max_age.draw(Client::Call);
        assert_eq!(age(MaxAge::new(HOUR)), HOUR + Duration::from_secs(30));
        assert_eq!(age(MaxAge::new(HOUR).grace(Duration::ZERO)), HOUR);
        assert_eq!(age(MaxAge::new(Duration::ZERO)), Duration::ZERO);
    }

    #[test]
    #[should_panic = "a fraction is between 0 and 1"]
    fn fraction_that_is_no_number_is_none() {
        _ = MaxAge::new(HOUR).jitter(f64::NAN);
    }
}
