use std::{ops::RangeInclusive, time::Duration};

use bytes::Bytes;

use crate::event::{Encoded, Event, whole_milliseconds};

/// A reconnection time: how long clients wait before they reconnect.
///
/// A stream may start with one ([`SseLayer::retry`](crate::SseLayer::retry)), sent at once, and end with
/// another when the server shuts down ([`Drain::retry`](crate::Drain::retry)); a client that is refused
/// gets one too ([`Refusal::retry`](crate::Refusal::retry)).
///
/// It is sent as a `retry` line ([HTML, "Interpreting an event stream"][html]). Without it
/// clients wait for a few seconds of their own choice, all of them equally long: when a server is
/// restarted they come back together. A range spreads them.
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
    /// The same time for every client, in whole milliseconds, at most 2³¹−1 (24.8 days).
    pub fn fixed(reconnection_time: Duration) -> Self {
        Self::between(reconnection_time, reconnection_time)
    }

    /// A time drawn for every connection, `min` and `max` included, in whole milliseconds, at most
    /// 2³¹−1 (24.8 days).
    ///
    /// # Panics
    ///
    /// If `min` is greater than `max`.
    #[track_caller]
    pub fn between(min: Duration, max: Duration) -> Self {
        assert!(min <= max, "the least reconnection time cannot be greater than the greatest");
        let milliseconds = |time| whole_milliseconds(time).min(LONGEST);
        Self { milliseconds: milliseconds(min)..=milliseconds(max) }
    }

    /// 2 to 10 seconds: what clients are told that cannot stay.
    pub(crate) const fn later() -> Self {
        Self { milliseconds: 2_000..=10_000 }
    }

    /// Draws the time for one connection.
    pub(crate) fn draw(&self) -> Duration {
        Duration::from_millis(fastrand::u64(self.milliseconds.clone()))
    }

    /// Returns the line that tells one client its time.
    pub(crate) fn line(&self) -> Bytes {
        Encoded::from(Event::new().retry(self.draw())).into()
    }
}
