use std::time::Duration;

use bytes::Bytes;

use crate::event::{Encoded, Event, whole_milliseconds};

/// The time that clients wait before they reconnect.
///
/// - [`SseLayer::retry`](crate::SseLayer::retry) sends it at the start of a stream.
/// - [`Drain::retry`](crate::Drain::retry) sends it when the server shuts down.
/// - [`Refusal::retry`](crate::Refusal::retry) sends it to a client that is refused.
///
/// A client uses the last one that it has received.
///
/// It is sent as a `retry` line ([HTML, "Interpreting an event stream"][html]). Without one, all
/// clients wait for the same few seconds, so after a restart they reconnect at the same time. A
/// range spreads the reconnections.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Retry, SseLayer};
///
/// # let layer: SseLayer =
/// SseLayer::new().retry(Retry::between(Duration::from_secs(1), Duration::from_secs(5)));
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
    /// Creates a reconnection time that is the same for every client.
    ///
    /// It is sent in whole milliseconds. Longer times are shortened to 2³¹−1 milliseconds (24.8
    /// days).
    pub fn fixed(reconnection_time: Duration) -> Self {
        Self::between(reconnection_time, reconnection_time)
    }

    /// Creates a reconnection time that is drawn for each connection from `min` to `max`, both
    /// inclusive.
    ///
    /// It is sent in whole milliseconds. Longer times are shortened to 2³¹−1 milliseconds (24.8
    /// days).
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

    /// Creates the default range for clients that are refused or drained: 2 to 10 seconds.
    pub(crate) const fn later() -> Self {
        Self { milliseconds: (2_000, 10_000) }
    }

    /// The time until a client that has too many streams tries again.
    pub(crate) const fn much_later() -> Self {
        Self { milliseconds: (30_000, 60_000) }
    }

    /// Draws the time for one connection.
    pub(crate) fn draw(self) -> Duration {
        let (min, max) = self.milliseconds;
        Duration::from_millis(fastrand::u64(min..=max))
    }

    /// Draws the time for one connection and returns its `retry` line.
    pub(crate) fn line(self) -> Bytes {
        Encoded::from(Event::new().retry(self.draw())).into()
    }
}

impl From<Duration> for Retry {
    /// Calls [`Retry::fixed`].
    fn from(reconnection_time: Duration) -> Self {
        Self::fixed(reconnection_time)
    }
}
