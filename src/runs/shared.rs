use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    Outcome, RunEnd, RunKey, RunsStats, StartError,
    counters::Counters,
    deferred::Deferred,
    producer::Producer,
    record::{Phase, Record},
    registry::{Registry, RunLimits},
};
use crate::{
    callback::catch_panic,
    history::sync::{Mutex, MutexGuard, lock},
};

/// How many samples of running runs are compared to make room.
const MAX_SAMPLES: usize = 32;

/// Runs that are kept for longer than this are never forgotten.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The state that all clones of a [`Runs`](super::Runs), its layers and its tasks share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) counters: Arc<Counters>,
    registry: Mutex<Registry>,
    /// Notified when the last running run has ended.
    idle: Notify,
}

pub(super) type OnEnd = dyn Fn(&RunEnd) + Send + Sync;

/// What the builder sets.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) retain_bytes: usize,
    pub(super) max_memory: usize,
    pub(super) retain_for: Duration,
    pub(super) abandon_after: Duration,
    pub(super) limits: RunLimits,
    pub(super) leading_ids: bool,
    pub(super) on_end: Vec<Arc<OnEnd>>,
}

/// The answer to a request for a run that may be started.
pub(super) enum Claim {
    /// The caller starts the run.
    New(Producer),
    /// The run is starting or running, or it has completed.
    Existing(Arc<Record>),
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self { options, counters: Arc::default(), registry: Mutex::default(), idle: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        lock(&self.registry)
    }

    /// Calls `with` while holding the registry's lock, and does what it defers afterwards.
    fn with_registry<R>(
        self: &Arc<Self>,
        with: impl FnOnce(&mut Registry, &mut Deferred) -> R,
    ) -> R {
        let mut deferred = Deferred::default();
        let (result, is_idle, needs_sweeper) = {
            let mut registry = self.lock();
            let result = with(&mut registry, &mut deferred);
            let needs_sweeper =
                registry.kept() > 0 && !registry.is_swept && self.options.retain_for < FOREVER;
            registry.is_swept |= needs_sweeper;
            (result, registry.running() == 0, needs_sweeper)
        };
        let ends = deferred.wake();
        if is_idle {
            self.idle.notify_waiters();
        }
        if needs_sweeper {
            self.start_sweeping();
        }
        self.report(&ends);
        result
    }

    /// Reports the ends of runs, each once.
    fn report(&self, ends: &[RunEnd]) {
        for end in ends {
            self.counters.count_end(end);
            debug!(
                outcome = end.outcome().as_str(),
                events = end.events(),
                bytes = end.bytes(),
                age = ?end.age(),
                "a run ended"
            );
            for callback in &self.options.on_end {
                _ = catch_panic(|| callback(end));
            }
        }
    }

    pub(super) fn get(self: &Arc<Self>, key: &RunKey) -> Option<Arc<Record>> {
        self.with_registry(|registry, deferred| {
            registry.expire(self.options.retain_for, deferred);
            registry.get(key).cloned()
        })
    }

    /// Returns the run with this key, or lets the caller start one if there is none that a new
    /// client could use: a run that did not complete frees its key.
    pub(super) fn claim(self: &Arc<Self>, key: &RunKey) -> Result<Claim, StartError> {
        self.claim_with(key, |phase| phase.is_live() || phase == Phase::Ended(Outcome::Completed))
    }

    /// Lets the caller start a run with this key, and cancels the one that is there.
    pub(super) fn replace(self: &Arc<Self>, key: &RunKey) -> Result<Producer, StartError> {
        match self.claim_with(key, |_| false)? {
            Claim::New(producer) => Ok(producer),
            // No phase is acceptable.
            Claim::Existing(_) => Err(StartError::Draining),
        }
    }

    fn claim_with(
        self: &Arc<Self>,
        key: &RunKey,
        is_acceptable: impl FnOnce(Phase) -> bool,
    ) -> Result<Claim, StartError> {
        let claim = self.with_registry(|registry, deferred| {
            registry.expire(self.options.retain_for, deferred);
            let earlier = registry.get(key).cloned();
            if let Some(record) = &earlier {
                if is_acceptable(record.phase()) {
                    return Ok(Claim::Existing(Arc::clone(record)));
                }
                // During a shutdown nothing takes its place.
                if !registry.is_draining {
                    registry.end(record, Outcome::Cancelled, None, deferred);
                }
            }
            let record = registry.add(key, self.options.limits, deferred, |epoch| {
                let Options { retain_bytes, max_memory, leading_ids, .. } = self.options;
                let counters = Arc::clone(&self.counters);
                Record::new(key.clone(), epoch, retain_bytes, max_memory, leading_ids, counters)
            })?;
            Ok(Claim::New(Producer::new(Arc::clone(self), record)))
        });
        match &claim {
            Ok(Claim::New(_)) => {
                self.counters.count_start();
                self.make_room();
            }
            Ok(Claim::Existing(_)) => {}
            Err(_) => self.counters.count_refusal(),
        }
        claim
    }

    /// Ends a run. Returns whether it was still running.
    pub(super) fn end(
        self: &Arc<Self>,
        record: &Arc<Record>,
        outcome: Outcome,
        error: Option<Arc<str>>,
    ) -> bool {
        self.with_registry(|registry, deferred| registry.end(record, outcome, error, deferred))
    }

    /// Ends a run if no client is attached. Returns whether it did.
    pub(super) fn end_unattended(self: &Arc<Self>, record: &Arc<Record>, outcome: Outcome) -> bool {
        self.with_registry(|registry, deferred| {
            let is_unattended = record.lock().readers.count() == 0;
            is_unattended && registry.end(record, outcome, None, deferred)
        })
    }

    /// Frees the key of a call whose answer was no event stream.
    pub(super) fn void(self: &Arc<Self>, record: &Arc<Record>) {
        self.with_registry(|registry, deferred| registry.void(record, deferred));
    }

    /// Frees the key of a call that panicked before its answer, and reports it as failed.
    pub(super) fn fail_call(self: &Arc<Self>, record: &Arc<Record>, error: Arc<str>) {
        self.with_registry(|registry, deferred| {
            if registry.end(record, Outcome::Failed, Some(error), deferred) {
                registry.forget(record, deferred);
            }
        });
    }

    /// Evicts until all runs are within the limit of memory: runs that have ended, the oldest
    /// first, then the older half of the largest record.
    pub(super) fn make_room(self: &Arc<Self>) {
        for _ in 0..MAX_SAMPLES {
            while self.is_over_limit() && self.with_registry(Registry::evict_ended) {}
            if !self.is_over_limit() {
                return;
            }
            let sample = self.lock().sample();
            let largest = sample.into_iter().max_by_key(|record| record.events_memory());
            if let Some(record) = largest {
                let mut deferred = Deferred::default();
                record.evict_half(&mut deferred);
                _ = deferred.wake();
            }
        }
    }

    fn is_over_limit(&self) -> bool {
        self.counters.memory.total() > self.options.max_memory
    }

    pub(super) fn running(&self) -> usize {
        self.lock().running()
    }

    pub(super) fn stats(&self) -> RunsStats {
        let (running, kept) = {
            let registry = self.lock();
            (registry.running(), registry.kept())
        };
        self.counters.stats(running, kept)
    }

    /// Starts no further run.
    pub(super) fn start_draining(&self) {
        self.lock().is_draining = true;
    }

    /// Waits until no run is running.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.running() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Ends all running runs.
    pub(super) fn interrupt(self: &Arc<Self>) {
        self.with_registry(|registry, deferred| {
            for record in registry.all_running() {
                registry.end(&record, Outcome::Interrupted, None, deferred);
            }
        });
    }

    /// Spawns the task that forgets runs at their time. Without a runtime, later calls do it.
    fn start_sweeping(self: &Arc<Self>) {
        let sweeper = Sweeper(Arc::downgrade(self));
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(sweeper.run());
        }
    }

    /// Forgets the runs whose time has come. Returns when the next one is due.
    fn sweep(self: &Arc<Self>) -> Option<Instant> {
        self.with_registry(|registry, deferred| registry.expire(self.options.retain_for, deferred))
    }
}

/// The task that forgets runs at their time. It ends once none is left.
struct Sweeper(Weak<Shared>);

impl Sweeper {
    async fn run(self) {
        while let Some(due) = self.0.upgrade().and_then(|shared| shared.sweep()) {
            sleep_until(due).await;
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        // The runtime may end before the last run is forgotten.
        if let Some(shared) = self.0.upgrade() {
            shared.lock().is_swept = false;
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("retain_bytes", &self.retain_bytes)
            .field("max_memory", &self.max_memory)
            .field("retain_for", &self.retain_for)
            .field("abandon_after", &self.abandon_after)
            .field("limits", &self.limits)
            .field("leading_ids", &self.leading_ids)
            .finish_non_exhaustive()
    }
}
