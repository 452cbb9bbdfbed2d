use std::time::Duration;

use bytes::Bytes;

use crate::event::whole_milliseconds;

/// The time that clients wait before they reconnect.
///
/// You can set it for the start of a stream ([`SseLayer::retry`](crate::SseLayer::retry)), for the
/// shutdown ([`Drain::retry`](crate::Drain::retry)), and for refused clients
/// ([`Refusal::retry`](crate::Refusal::retry)).
///
/// The time is sent as a `retry` line ([HTML][html]), or as `Retry-After` in a refusal with status
/// 429 or 503. An `EventSource` uses the last `retry` line that it has received.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Retry, SseLayer};
/// let retry = Retry::between(Duration::from_secs(1), Duration::from_secs(5));
/// let layer: SseLayer = SseLayer::new().retry(retry);
/// ```
///
/// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "reconnect")]
#[must_use]
pub struct Retry {
    /// The bounds, both inclusive.
    pub(crate) milliseconds: (u64, u64),
}

/// The maximum reconnection time, in milliseconds. JavaScript's `setTimeout` fires at once if the
/// delay is longer.
const MAX: u64 = i32::MAX as u64;

impl Retry {
    /// Creates a fixed reconnection time for all clients, in whole milliseconds. A time above 2³¹−1
    /// milliseconds (almost 25 days) is reduced to this maximum.
    pub fn fixed(reconnection_time: Duration) -> Self {
        Self::between(reconnection_time, reconnection_time)
    }

    /// Creates a random reconnection time from `min` to `max` inclusive, in whole milliseconds. The
    /// layer draws a new time whenever it sends one. A bound above 2³¹−1 milliseconds is reduced to
    /// that value.
    ///
    /// # Panics
    ///
    /// Panics if `min` is greater than `max`.
    #[track_caller]
    pub fn between(min: Duration, max: Duration) -> Self {
        assert!(min <= max, "the minimum reconnection time is greater than the maximum");
        let milliseconds = |time| whole_milliseconds(time).min(MAX);
        Self { milliseconds: (milliseconds(min), milliseconds(max)) }
    }

    pub(crate) const AT_ONCE: Self = Self { milliseconds: (200, 1_000) };
    pub(crate) const SOON: Self = Self { milliseconds: (1_000, 5_000) };
    pub(crate) const LATER: Self = Self { milliseconds: (2_000, 10_000) };
    pub(crate) const MUCH_LATER: Self = Self { milliseconds: (30_000, 60_000) };

    pub(crate) fn draw(self) -> Duration {
        let (min, max) = self.milliseconds;
        Duration::from_millis(fastrand::u64(min..=max))
    }

    pub(crate) fn line(self) -> Bytes {
        // An `Event` would take more allocations, and a shutdown makes one line for each stream.
        let mut digits = itoa::Buffer::new();
        let time = digits.format(self.draw().as_millis() as u64);
        [b"retry: ", time.as_bytes(), b"\n"].concat().into()
    }
}

impl From<Duration> for Retry {
    /// Calls [`Retry::fixed`].
    fn from(reconnection_time: Duration) -> Self {
        Self::fixed(reconnection_time)
    }
}

/// Returns whether one of these lines, which this crate has encoded, is a `retry` line.
pub(crate) fn has_retry_line(lines: &[u8]) -> bool {
    lines.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"retry:"))
}
