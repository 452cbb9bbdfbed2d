use std::{ops::RangeInclusive, time::Duration};

use bytes::Bytes;

use crate::event::{Encoded, Event, whole_milliseconds};

/// A reconnection time: how long clients wait before they reconnect.
///
/// | sent | set by |
/// |---|---|
/// | at the start of a stream | [`SseLayer::retry`](crate::SseLayer::retry) |
/// | when the server shuts down | [`Drain::retry`](crate::Drain::retry) |
/// | to a client that is refused | [`Refusal::retry`](crate::Refusal::retry) |
///
/// It is sent as a `retry` line ([HTML, "Interpreting an event stream"][html]). Without it clients wait
/// for a few seconds, all of them equally long, and after a restart they return together. A range
/// spreads them.
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "reconnect")]
#[must_use]
pub struct Retry {
    milliseconds: RangeInclusive<u64>,
}

/// The longest reconnection time, in milliseconds. JavaScript's `setTimeout` fires at once when it
/// is asked for more.
const LONGEST: u64 = i32::MAX as u64;

impl Retry {
    /// Creates the same time for every client, in whole milliseconds, at most 2³¹−1 (24.8 days).
    pub fn fixed(reconnection_time: Duration) -> Self {
        Self::between(reconnection_time, reconnection_time)
    }

    /// Creates a range from which a time is drawn for every connection, `min` and `max` included, in
    /// whole milliseconds, at most 2³¹−1 (24.8 days).
    ///
    /// # Panics
    ///
    /// Panics if `min` is greater than `max`.
    #[track_caller]
    pub fn between(min: Duration, max: Duration) -> Self {
        assert!(min <= max, "the least reconnection time cannot be greater than the greatest");
        let milliseconds = |time| whole_milliseconds(time).min(LONGEST);
        Self { milliseconds: milliseconds(min)..=milliseconds(max) }
    }

    /// Creates the range for clients that cannot stay: 2 to 10 seconds.
    pub(crate) const fn later() -> Self {
        Self { milliseconds: 2_000..=10_000 }
    }

    /// Draws the time for one connection.
    pub(crate) fn draw(&self) -> Duration {
        Duration::from_millis(fastrand::u64(self.milliseconds.clone()))
    }

    /// Draws the time for one client and returns its `retry` line.
    pub(crate) fn line(&self) -> Bytes {
        Encoded::from(Event::new().retry(self.draw())).into()
    }
}
