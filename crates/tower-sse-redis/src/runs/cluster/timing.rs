use std::time::Duration;

use tokio::time::Instant;

/// The delay of exports of a run that no other process's client watches. No client needs the run's
/// events from the store before the run is watched or ends. After this delay, the run waits for the
/// next [`UNWATCHED_TICK`], so exports are a second apart on average.
pub(crate) const UNWATCHED_INTERVAL: Duration = Duration::from_millis(875);
/// The time between the ticks at which runs without watchers are exported. Runs that are due at the
/// same tick share a pipeline.
pub(crate) const UNWATCHED_TICK: Duration = Duration::from_millis(250);
/// The delay before something that failed is tried again.
pub(crate) const RETRY_DELAY: Duration = Duration::from_millis(250);
/// How long an ended run can be exported again if the store loses its end.
pub(crate) const ENDED_EXPORT: Duration = Duration::from_secs(10);
/// How long a shutdown or a request waits for exports.
pub(crate) const EXPORT_WAIT: Duration = Duration::from_secs(2);

/// The intervals that follow from the lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) lease: Duration,
    /// The time for which the store keeps a run that has ended.
    pub(crate) kept_for: Duration,
    /// The interval at which a process checks the runs of others that it mirrors.
    pub(crate) check: Duration,
    /// The time without contact after which the bodies of mirrored runs fail.
    pub(crate) patience: Duration,
}

/// Returns the first moment from `at` on that is a multiple of `tick` after `base`.
pub(crate) fn next_tick(at: Instant, base: Instant, tick: Duration) -> Instant {
    let nanos = at.saturating_duration_since(base).as_nanos() % tick.as_nanos();
    let past = Duration::from_nanos(nanos as u64);
    if past.is_zero() { at } else { at + (tick - past) }
}

impl Timing {
    /// Returns how long a request waits for an event that its client has, but the store may not
    /// have.
    pub(crate) fn id_wait(&self) -> Duration {
        self.check + Duration::from_secs(1)
    }

    /// Returns how long a run counts as watched after a check.
    pub(crate) fn watch(&self) -> Duration {
        self.lease * 3 / 4
    }
}
