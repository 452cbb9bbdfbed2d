use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The size of a soak. All its times are short compared with a quarter of its duration, so that the
/// second quarter is as full as the last one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) streams: usize,
    pub(crate) duration: Duration,
    /// The time between two samples of the curve.
    pub(crate) sample: Duration,
    /// The longest time that a client stays connected.
    pub(crate) stay: Duration,
    /// The time after which all clients listen to new topics.
    pub(crate) move_on: Duration,
    /// How long events and ended runs are kept.
    pub(crate) retention: Duration,
    pub(crate) abandon_after: Duration,
    /// The time between two events of a run.
    pub(crate) step: Duration,
    /// The time between two events that are published.
    pub(crate) publish: Duration,
}

/// The number of topics that have events at a time.
pub(crate) const TOPICS: usize = 40;
/// The number of events of a run that completes.
pub(crate) const EVENTS: usize = 20;

impl Plan {
    pub(crate) const fn short(duration: Duration) -> Self {
        Self {
            streams: 200,
            duration,
            sample: Duration::from_secs(1),
            stay: Duration::from_secs(2),
            move_on: Duration::from_secs(1),
            retention: Duration::from_secs(1),
            abandon_after: Duration::from_millis(500),
            step: Duration::from_millis(100),
            publish: Duration::from_millis(10),
        }
    }

    pub(crate) const fn long(duration: Duration) -> Self {
        Self {
            streams: 2_000,
            duration,
            sample: Duration::from_secs(10),
            stay: Duration::from_secs(40),
            move_on: Duration::from_secs(15),
            retention: Duration::from_secs(20),
            abandon_after: Duration::from_secs(5),
            step: Duration::from_secs(1),
            publish: Duration::from_millis(20),
        }
    }

    /// Returns how many streams may be open at a time: enough for clients that have left before the
    /// server has noticed it.
    pub(crate) const fn max_streams(&self) -> usize {
        self.streams + self.streams / 4
    }

    pub(crate) fn file(&self, extension: &str) -> String {
        format!("soak-{}-streams.{extension}", self.streams)
    }
}
