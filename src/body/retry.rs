use std::{ops::RangeInclusive, time::Duration};

use crate::event::whole_milliseconds;

/// The reconnection time that every stream starts with: how long clients wait before they
/// reconnect.
///
/// It is sent at once, as a `retry` line ([HTML, "Interpreting an event stream"][html]). Without it
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Retry {
    milliseconds: Option<RangeInclusive<u64>>,
}

impl Retry {
    /// The same time for everybody, in whole milliseconds.
    pub fn fixed(reconnection_time: Duration) -> Self {
        Self::between(reconnection_time, reconnection_time)
    }

    /// A time drawn for every connection, `min` and `max` included, in whole milliseconds.
    ///
    /// # Panics
    ///
    /// If `min` is greater than `max`.
    #[track_caller]
    pub fn between(min: Duration, max: Duration) -> Self {
        assert!(min <= max, "the least reconnection time cannot be greater than the greatest");
        Self { milliseconds: Some(whole_milliseconds(min)..=whole_milliseconds(max)) }
    }

    /// No `retry` line: clients wait as long as they think best.
    pub const fn none() -> Self {
        Self { milliseconds: None }
    }

    /// The time for one connection.
    pub(crate) fn draw(&self) -> Option<Duration> {
        self.milliseconds.clone().map(fastrand::u64).map(Duration::from_millis)
    }
}
