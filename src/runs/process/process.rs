use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Weak};
use std::{mem, slice, task::Context};

use tokio::time::{Instant, sleep_until};
use tokio::{runtime::Handle, sync::Notify};

use super::registry::Registry;
use crate::callback::catch_panic;
use crate::history::{ENTRY_OVERHEAD, Epoch, seen};
use crate::runs::options::{MAX_TIME, Options};
use crate::runs::record::{Deferred, MirrorWriter, Record, until};
use crate::runs::{Outcome, RunEnd, RunKey, RunsStats, StartError};
use crate::sync::{Mutex, MutexGuard, lock};
use crate::{connection::LastEventId, options::StreamOptions};
use crate::{runs::outcome::Failure, runs::stats::RunCounters, wake::drop_waker};

const FENCED: &str = "another process declared the run dead";

/// The callbacks of a process that shares its runs through a store.
pub trait Hooks: Send + Sync {
    /// Called when a run may have new events. For each run, it's not called again until the run's
    /// [mark is cleared](Record::clear_mark).
    fn has_events(&self, epoch: Epoch);

    /// Called when runs may have changed: `runs` began, ended, became void or were forgotten.
    fn have_changed(&self, runs: &[Arc<Record>]);

    /// Evicts events of other processes' runs, because memory is full. The events can be loaded
    /// again. Returns whether there were any.
    fn evict(&self) -> bool;
}

/// The state that all clones of a [`Runs`](crate::runs::Runs), its layers and its tasks share.
pub struct Process {
    pub options: Options,
    pub(crate) counters: Arc<RunCounters>,
    /// Set if the runs are shared through a store.
    pub(super) hooks: Option<Box<dyn Hooks>>,
    registry: Mutex<Registry>,
    /// Notified when no run is running and the ends of all runs have been reported.
    idle: Notify,
}

impl Process {
    pub fn new(options: Options, hooks: Option<Box<dyn Hooks>>) -> Self {
        Self {
            counters: Arc::default(),
            registry: Mutex::new(Registry::new(hooks.is_some())),
            idle: Notify::new(),
            hooks,
            options,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Registry> {
        lock(&self.registry)
    }

    /// Calls `with` under the registry's lock, then does the deferred work without the lock.
    fn with_registry<R>(
        self: &Arc<Self>,
        with: impl FnOnce(&mut Registry, &mut Deferred) -> R,
    ) -> R {
        let mut deferred = Deferred::default();
        let (result, is_idle, unswept) = {
            let mut registry = self.lock();
            let result = with(&mut registry, &mut deferred);
            registry.reporting += deferred.ends.len();
            let expires = !registry.kept.is_empty() && self.options.retain_for < MAX_TIME;
            let runtime = if expires { Handle::try_current().ok() } else { None };
            let unswept = runtime.filter(|runtime| !registry.has_sweeper(runtime.id()));
            (result, registry.is_idle(), unswept)
        };
        if let Some(hooks) = &self.hooks {
            hooks.have_changed(&deferred.changed);
        }
        let ends = deferred.wake();
        // Without a runtime on this thread, no sweeper starts: later calls forget the due runs.
        if let Some(runtime) = unswept {
            let sweeper = (runtime.id(), runtime.spawn(sweep(Arc::downgrade(self))));
            let mut registry = self.lock();
            let ended: Vec<_> =
                registry.sweepers.extract_if(.., |(_, task)| task.is_finished()).collect();
            registry.sweepers.push(sweeper);
            drop((registry, ended));
        }
        let is_idle = if ends.is_empty() {
            is_idle
        } else {
            self.report(&ends);
            let mut registry = self.lock();
            registry.reporting -= ends.len();
            registry.is_idle()
        };
        if is_idle {
            self.idle.notify_waiters();
        }
        result
    }

    fn report(&self, ends: &[RunEnd]) {
        for end in ends {
            self.counters.count_end(end);
            // A `tracing` subscriber is the program's code too and can panic.
            _ = catch_panic(|| {
                debug!(
                    outcome = end.outcome.as_str(),
                    events = end.events,
                    bytes = end.bytes,
                    age = ?end.age,
                    "a run ended"
                );
            });
            for callback in &self.options.on_end {
                _ = catch_panic(|| callback(end));
            }
        }
    }

    pub(crate) fn get(self: &Arc<Self>, key: &RunKey) -> Option<Arc<Record>> {
        self.with_registry(|registry, deferred| {
            registry.expire(self.options.retain_for, deferred);
            registry.get(key).cloned()
        })
    }

    /// Returns the run with this key. Unlike `get`, doesn't first forget the runs that are due.
    pub fn peek(&self, key: &RunKey) -> Option<Arc<Record>> {
        self.lock().get(key).cloned()
    }

    /// Called when the store has the end of a run, or will never get it. Only then does
    /// `retain_for` begin.
    pub fn acknowledge_end(self: &Arc<Self>, record: &Arc<Record>) {
        self.with_registry(|registry, _| registry.acknowledge_end(record));
    }

    /// Cancels the run with this key. If the run is running, it first records `lines`, if any.
    /// Returns `false` if no such run was starting or running, or if `last` is not from the run.
    pub(crate) fn cancel(
        self: &Arc<Self>,
        key: &RunKey,
        last: Option<&LastEventId>,
        lines: Option<&[u8]>,
    ) -> bool {
        while let Some(record) = self.get(key) {
            if seen(last, record.epoch, record.newest()).is_none() {
                return false;
            }
            // Another run may have replaced this one meanwhile.
            let is_cancelled = self.cancel_record(&record, lines);
            if is_cancelled || self.peek(key).is_none_or(|other| other.epoch == record.epoch) {
                return is_cancelled;
            }
        }
        false
    }

    /// Cancels this run as [`cancel`](Self::cancel) does.
    pub fn cancel_record(self: &Arc<Self>, record: &Arc<Record>, lines: Option<&[u8]>) -> bool {
        let is_cancelled = self.with_registry(|registry, deferred| {
            registry.end_if(record, Outcome::Cancelled, None, deferred, |state, drops| {
                lines.inspect(|lines| record.append_last(state, lines, drops));
                true
            })
        });
        if lines.is_some() {
            self.make_room(0);
        }
        is_cancelled
    }

    /// Makes room for `additional` bytes, if possible: evicts ended runs that no client reads, then
    /// copies of other processes' events, then other ended runs.
    pub(crate) fn make_room(self: &Arc<Self>, additional: usize) {
        let evict_ended = |is_read| {
            self.with_registry(|registry, deferred| registry.evict_ended(is_read, deferred))
        };
        let evict_mirrored = || self.hooks.as_ref().is_some_and(|hooks| hooks.evict());
        while self.counters.memory.total().saturating_add(additional) > self.options.max_memory
            && (evict_ended(false) || evict_mirrored() || evict_ended(true))
        {}
    }

    pub fn make_room_for(self: &Arc<Self>, events: usize, bytes: usize) {
        self.make_room(bytes.saturating_add(events.saturating_mul(ENTRY_OVERHEAD)));
    }

    pub fn is_draining(&self) -> bool {
        self.lock().is_draining
    }

    pub fn report_dead(&self, key: RunKey, epoch: Epoch, newest: u64) {
        self.counters.totals().declared_dead += 1;
        self.report(&[RunEnd::of_dead(key, epoch, newest)]);
    }

    /// Ends a run that is starting or running. Returns whether this call ended it.
    pub(crate) fn end(
        self: &Arc<Self>,
        record: &Arc<Record>,
        outcome: Outcome,
        failure: Option<Failure>,
    ) -> bool {
        // If the run has already ended, `failure` is dropped under a lock. This clone keeps its
        // error alive until no lock is held.
        let held = failure.clone();
        let has_ended = self
            .with_registry(|registry, deferred| registry.end(record, outcome, failure, deferred));
        drop(held);
        has_ended
    }

    /// Ends a run if no client is attached. Returns whether this call ended it.
    pub(crate) fn end_unattended(self: &Arc<Self>, record: &Arc<Record>, outcome: Outcome) -> bool {
        self.with_registry(|registry, deferred| {
            registry.end_if(record, outcome, None, deferred, |state, _| {
                !state.readers.is_attended(Instant::now())
            })
        })
    }

    /// Interrupts a run that the store can no longer keep. `reason` is the text of the run's error.
    pub fn lose(self: &Arc<Self>, record: &Arc<Record>, reason: &str) {
        self.end(record, Outcome::Interrupted, Some(reason.into()));
    }

    pub fn mirror(&self, key: RunKey, epoch: Epoch, after: u64) -> (Arc<Record>, MirrorWriter) {
        MirrorWriter::create(key, epoch, after, &self.options, Arc::clone(&self.counters))
    }

    /// Ends and forgets a run that another process has declared dead. That process reports the end,
    /// and requests get what the store has.
    pub fn fence(self: &Arc<Self>, record: &Arc<Record>) {
        self.with_registry(|registry, deferred| {
            if registry.end(record, Outcome::Interrupted, Some(FENCED.into()), deferred) {
                deferred.ends.pop();
                self.counters.totals().fenced += 1;
            }
            registry.forget(record, deferred);
        });
    }

    pub(crate) fn stats(&self) -> RunsStats {
        let mut stats = self.counters.stats();
        {
            let registry = self.lock();
            (stats.running, stats.kept) = (registry.running.len(), registry.kept.len());
        }
        stats
    }

    pub(crate) async fn idle(&self) {
        until(&self.idle, || self.lock().is_idle().then_some(())).await;
    }

    pub(crate) fn interrupt(self: &Arc<Self>) {
        self.with_registry(|registry, deferred| {
            // A run that is reserved but not entered needs no end: during a shutdown, it can't be
            // entered.
            let is_entered = |it: &&Arc<Record>| {
                registry.get(&it.key).is_some_and(|entered| entered.epoch == it.epoch)
            };
            let entered = registry.running.values().filter(is_entered);
            for record in entered.cloned().collect::<Vec<_>>() {
                registry.end(&record, Outcome::Interrupted, None, deferred);
            }
        });
    }
}

/// Forgets runs when they are due, until no run is kept.
async fn sweep(process: Weak<Process>) {
    let expire = |process: Arc<Process>| {
        let age = process.options.retain_for;
        process.with_registry(|registry, deferred| {
            let due = registry.expire(age, deferred);
            if due.is_none() {
                // This task stops here, so the next run that is kept needs another sweeper.
                // Dropping this task's handle runs no code of the program, so the lock may be held.
                registry.sweepers.retain(|(id, _)| *id != Handle::current().id());
            }
            due
        })
    };
    while let Some(due) = process.upgrade().and_then(expire) {
        sleep_until(due).await;
    }
}

/// The right to record a run, held by the run's task. Dropping it before the run has ended
/// interrupts the run. With a store, dropping it before [`export`](Self::export) only frees the
/// key, and no run is reported as ended.
pub struct Producer {
    pub(crate) process: Arc<Process>,
    pub record: Arc<Record>,
    /// Set once the store has the request's claim. Without a store, always `false`.
    is_exported: bool,
}

impl Producer {
    const fn new(process: Arc<Process>, record: Arc<Record>) -> Self {
        Self { process, record, is_exported: false }
    }

    pub const fn export(&mut self) {
        self.is_exported = true;
    }

    #[inline]
    pub(crate) fn mark(&self) {
        if self.is_exported
            && let Some(hooks) = &self.process.hooks
            && self.record.set_mark()
        {
            hooks.has_events(self.record.epoch);
        }
    }

    /// Begins to record a stream. Returns `false` if the run has already ended.
    pub(crate) fn begin(&self, options: Option<StreamOptions>) -> bool {
        let has_begun = self.record.begin(options);
        if self.is_exported
            && let Some(hooks) = &self.process.hooks
        {
            hooks.have_changed(slice::from_ref(&self.record));
        }
        has_begun
    }

    /// Frees the key of a run that won't have a stream.
    pub(crate) fn void(&self) {
        self.process.with_registry(|registry, deferred| registry.void(&self.record, deferred));
    }

    pub(crate) fn within_call<R>(&self, call: impl FnOnce() -> R) -> R {
        self.process.counters.totals().started += 1;
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
            self.fail_call();
            resume_unwind(panic)
        })
    }

    pub(crate) fn fail_call(&self) {
        self.process.with_registry(|registry, deferred| {
            let (record, failure) = (&self.record, Some(PANICKED.into()));
            if registry.end(record, Outcome::Failed, failure, deferred) {
                registry.forget(record, deferred);
            }
        });
    }

    pub(crate) fn fail(&self, failure: Failure) {
        self.process.end(&self.record, Outcome::Failed, Some(failure));
    }

    /// Returns whether the run is over. If not, its end will wake the task.
    pub(crate) fn is_over(&self, cx: &Context<'_>) -> bool {
        {
            let state = self.record.lock();
            if !state.phase.is_live() {
                return true;
            }
            if state.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
                return false;
            }
        }
        // Cloning or dropping a waker can run any code, so no lock may be held.
        let mut waker = Some(cx.waker().clone());
        let is_live = {
            let mut state = self.record.lock();
            if state.phase.is_live() {
                mem::swap(&mut state.task, &mut waker);
            }
            state.phase.is_live()
        };
        drop_waker(waker);
        !is_live
    }

    /// Ends the run if it has had no client for `abandon_after`. Returns when to check next, or
    /// `None` if the run is over.
    pub(crate) fn abandon_if_due(&self) -> Option<Instant> {
        let after = self.process.options.abandon_after;
        let now = Instant::now();
        let since = self.record.lock().readers.unattended_since();
        let due = since.unwrap_or(now) + after;
        if due > now {
            return Some(due);
        }
        let is_abandoned = self.process.end_unattended(&self.record, Outcome::Abandoned);
        // A client may have attached meanwhile.
        (!is_abandoned && self.record.phase().is_live()).then_some(now + after)
    }
}

pub(crate) const PANICKED: &str = "the source panicked";

impl Drop for Producer {
    fn drop(&mut self) {
        if self.process.hooks.is_some() && !self.is_exported {
            self.void();
        } else {
            self.process.end(&self.record, Outcome::Interrupted, None);
        }
    }
}

pub enum Claim {
    New(Producer),
    Existing(Arc<Record>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To attach to a run that is starting, running or completed, or else to start one.
    Attach,
    Replace,
}

impl Process {
    pub(crate) fn claim(
        self: &Arc<Self>,
        key: &RunKey,
        purpose: Purpose,
    ) -> Result<Claim, StartError> {
        let claim = self.with_registry(|registry, deferred| {
            registry.expire(self.options.retain_for, deferred);
            let found = registry.get(key).cloned();
            if let Some(record) = &found
                && purpose == Purpose::Attach
                && record.phase().is_usable()
            {
                return Ok(Claim::Existing(Arc::clone(record)));
            }
            // During a shutdown, the earlier run isn't cancelled, because no new run can start.
            let earlier = found.filter(|_| purpose == Purpose::Replace && !registry.is_draining);
            let replaced = earlier.as_ref().map(|earlier| earlier.epoch);
            let reserved = registry.reserve(key, replaced, &self.options, &self.counters);
            if let Some(earlier) = &earlier {
                registry.end(earlier, Outcome::Cancelled, None, deferred);
            }
            let record = reserved?;
            registry.enter(&record, deferred);
            Ok(Claim::New(Producer::new(Arc::clone(self), record)))
        });
        if let Ok(Claim::New(_)) = &claim {
            self.make_room(0);
        }
        claim
    }

    /// Reserves a run that this process will share through the store. Requests find it once it's
    /// [entered](Self::enter). If `earlier`, the run that it will replace, is running in this
    /// process, that run doesn't count towards the limits.
    pub fn reserve(
        self: &Arc<Self>,
        key: &RunKey,
        earlier: Option<Epoch>,
    ) -> Result<Producer, StartError> {
        let record = self.with_registry(|registry, _| {
            registry.reserve(key, earlier, &self.options, &self.counters)
        })?;
        Ok(Producer::new(Arc::clone(self), record))
    }

    /// Lets requests find a reserved run. Ends any other run of this process with the same key.
    /// Returns `false` without entering the run if a shutdown has begun meanwhile.
    pub fn enter(self: &Arc<Self>, reserved: &Producer, earlier: Option<Epoch>) -> bool {
        let record = &reserved.record;
        let is_entered = self.with_registry(|registry, deferred| {
            if registry.is_draining {
                return false;
            }
            if let Some(other) = registry.get(&record.key).cloned() {
                // If the new run doesn't replace `other`, the store has lost the claim of `other`.
                let is_replaced = earlier == Some(other.epoch);
                let outcome = if is_replaced { Outcome::Cancelled } else { Outcome::Interrupted };
                registry.end(&other, outcome, None, deferred);
            }
            registry.enter(record, deferred);
            true
        });
        self.make_room(0);
        is_entered
    }
}
