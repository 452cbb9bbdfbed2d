use std::time::Duration;

use tokio::time::Instant;

/// The minimum interval between exports of a run that no other process's client watches. No client
/// needs its events before it is watched or ends. After this interval, the run waits for the next
/// [`UNWATCHED_TICK`], so exports are a second apart on average.
pub(crate) const UNWATCHED_INTERVAL: Duration = Duration::from_millis(875);
/// The interval at which runs without watchers are exported. The runs that are due share a pipeline.
pub(crate) const UNWATCHED_TICK: Duration = Duration::from_millis(250);
/// The delay after a command that failed although the connection is up.
pub(crate) const RETRY_DELAY: Duration = Duration::from_millis(250);
/// How long an ended run can be exported again if the store loses its end.
pub(crate) const ENDED_EXPORT: Duration = Duration::from_secs(10);
/// How long a shutdown waits for exports, and a claim for an end.
pub(crate) const EXPORT_WAIT: Duration = Duration::from_secs(2);
/// How long a claim may still be executed after its reply was lost.
pub(crate) const LATE_CLAIM: Duration = Duration::from_secs(4);

/// The intervals that follow from the lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) lease: Duration,
    /// The time for which the store keeps a run.
    pub(crate) kept_for: Duration,
    /// The interval at which a process checks the runs of others that it mirrors.
    pub(crate) check: Duration,
    /// The time without contact after which the bodies of other processes' clients fail.
    pub(crate) patience: Duration,
}

/// Returns the first moment from `at` on that is a multiple of `tick` after `base`.
pub(crate) fn next_tick(at: Instant, base: Instant, tick: Duration) -> Instant {
    let nanos = at.saturating_duration_since(base).as_nanos() % tick.as_nanos();
    let past = Duration::from_nanos(nanos as u64);
    if past.is_zero() { at } else { at + (tick - past) }
}

impl Timing {
    /// Returns how long a request waits for an event whose id its client already has.
    pub(crate) fn id_wait(&self) -> Duration {
        self.check + Duration::from_secs(1)
    }

    /// Returns how long a run counts as watched after a check.
    pub(crate) fn watch(&self) -> Duration {
        self.lease * 3 / 4
    }

    /// Returns when an owner first looks for a run's keys. Groups of consecutive runs look at
    /// different times. The keys of a group were created one after the other, so they are close to
    /// each other in Redis' memory, where looking for keys from all over it takes a quarter longer.
    pub(crate) fn first_look(&self, now: Instant, base: Instant, group: u64) -> Instant {
        // The fractions of a number's multiples are spread evenly.
        let fraction = ((group + 1) as f64 * 0.618).fract();
        next_tick(now + self.lease.mul_f64(0.875 * fraction), base, self.lease / 16)
    }

    /// Returns when an owner looks for a run's keys again, within a lease. The runs that are due share
    /// commands.
    pub(crate) fn next_look(&self, now: Instant, base: Instant) -> Instant {
        next_tick(now + self.lease * 7 / 8, base, self.lease / 16)
    }
}
