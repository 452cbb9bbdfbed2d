use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::hub::PublishError;

/// The upper bounds of the latencies, in microseconds.
const BOUNDS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000,
];

/// The state of a hub's stream in Redis, from [`RedisHealth::stream`](super::RedisHealth::stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStats {
    pub(super) entries: u64,
    pub(super) max_len: u64,
    pub(super) oldest_age: Duration,
    pub(super) retain_for: Duration,
    pub(super) memory: Option<u64>,
}

impl StreamStats {
    /// Returns the number of entries.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// Returns the limit of entries, [`max_len`](super::Redis::max_len).
    #[must_use]
    pub const fn max_len(&self) -> u64 {
        self.max_len
    }

    /// Returns the age of the oldest entry, by the server's clock.
    ///
    /// If it is less than [`retain_for`](Self::retain_for) while there are
    /// [`max_len`](Self::max_len) entries, `max_len` is too low: a process that starts loads a part
    /// of the history, and one that is disconnected for longer than this age loses events.
    #[must_use]
    pub const fn oldest_age(&self) -> Duration {
        self.oldest_age
    }

    /// Returns the maximum age of the hub's events,
    /// the age of [`HubBuilder::retention`](crate::hub::HubBuilder::retention).
    #[must_use]
    pub const fn retain_for(&self) -> Duration {
        self.retain_for
    }

    /// Returns the memory of the stream in bytes, or `None` if the user lacks the permission for
    /// `MEMORY USAGE`. Redis estimates it from a few entries.
    #[must_use]
    pub const fn memory(&self) -> Option<u64> {
        self.memory
    }
}

/// The outcomes of publishing over Redis, from
/// [`RedisHealth::publishes`](super::RedisHealth::publishes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishStats {
    acknowledged: u64,
    refused: u64,
    unknown: u64,
    latencies: [u64; BOUNDS.len() + 1],
    latency_sum: Duration,
}

impl PublishStats {
    /// Returns the number of events that Redis has acknowledged.
    #[must_use]
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Returns the number of events that were certainly not published, as
    /// [`PublishError::Refused`] reports.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns the number of events that may have been published, as [`PublishError::Unknown`]
    /// reports. Includes those whose publisher has stopped waiting.
    #[must_use]
    pub const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Returns a histogram of the times from `publish` to the acknowledgement: the upper bound of
    /// each bucket, from 0.1 ms to 2.5 seconds and then [`Duration::MAX`], and the number of events
    /// in this bucket alone. A publish that waits for a connection includes that wait.
    pub fn latencies(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let bounds = BOUNDS.into_iter().map(Duration::from_micros);
        bounds.chain([Duration::MAX]).zip(self.latencies.iter().copied())
    }

    /// Returns the sum of the times from `publish` to the acknowledgement.
    #[must_use]
    pub const fn latency_sum(&self) -> Duration {
        self.latency_sum
    }
}

/// The counters of [`PublishStats`].
#[derive(Debug, Default)]
pub(super) struct PublishCounters {
    refused: AtomicU64,
    unknown: AtomicU64,
    latencies: [AtomicU64; BOUNDS.len() + 1],
    /// In microseconds.
    latency_sum: AtomicU64,
}

impl PublishCounters {
    pub(super) fn count<T>(&self, result: &Result<T, PublishError>, latency: Duration) {
        match result {
            Ok(_) => {
                let latency = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
                let bucket = BOUNDS.partition_point(|bound| *bound < latency);
                if let Some(count) = self.latencies.get(bucket) {
                    count.fetch_add(1, Relaxed);
                }
                self.latency_sum.fetch_add(latency, Relaxed);
            }
            Err(PublishError::Unknown(_)) => self.count_unknown(),
            Err(_) => _ = self.refused.fetch_add(1, Relaxed),
        }
    }

    pub(super) fn count_unknown(&self) {
        self.unknown.fetch_add(1, Relaxed);
    }

    pub(super) fn snapshot(&self) -> PublishStats {
        let latencies = self.latencies.each_ref().map(|count| count.load(Relaxed));
        PublishStats {
            acknowledged: latencies.iter().sum(),
            refused: self.refused.load(Relaxed),
            unknown: self.unknown.load(Relaxed),
            latencies,
            latency_sum: Duration::from_micros(self.latency_sum.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::PublishCounters;
    use crate::hub::PublishError;

    #[test]
    fn acknowledged_events_are_counted_by_their_latency() {
        let counters = PublishCounters::default();
        for latency in [100, 101, 2_500_000, 2_500_001] {
            counters.count(&Ok(1), Duration::from_micros(latency));
        }
        counters.count::<()>(&Err(PublishError::Refused("full".into())), Duration::from_secs(1));
        counters.count::<()>(&Err(PublishError::Unknown("late".into())), Duration::from_secs(1));
        counters.count_unknown();
        let stats = counters.snapshot();
        assert_eq!((stats.acknowledged(), stats.refused(), stats.unknown()), (4, 1, 2));
        assert_eq!(stats.latency_sum(), Duration::from_micros(5_000_202));
        let used: Vec<_> = stats.latencies().filter(|(_, count)| *count > 0).collect();
        let bound = Duration::from_micros;
        assert_eq!(
            used,
            [(bound(100), 1), (bound(250), 1), (bound(2_500_000), 1), (Duration::MAX, 1)]
        );
    }
}
