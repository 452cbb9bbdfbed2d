use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    slice,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
    task::Context,
};

use tokio::time::Instant;

use super::process::Process;
use crate::{
    connection::LastEventId,
    history::{Epoch, drop_waker},
    options::StreamOptions,
    runs::{Outcome, RunKey, StartError, failure::Failure, record::Record},
};

/// A run's mark, which its task sets for each event without a lock. The run's exporter clears it.
#[derive(Clone)]
pub struct Mark {
    is_set: Arc<AtomicBool>,
    pub epoch: Epoch,
}

impl Mark {
    pub fn new(epoch: Epoch) -> Self {
        Self { is_set: Arc::default(), epoch }
    }

    /// Sets the mark. Returns whether it was not set.
    #[inline]
    pub fn set(&self) -> bool {
        !self.is_set.swap(true, AcqRel)
    }

    pub fn clear(&self) {
        self.is_set.swap(false, AcqRel);
    }
}

/// The right to record a run, held by the run's task. If it is dropped before the run has ended,
/// the run is interrupted. If the request has not received the claim by then, the key is freed, and
/// no run is reported.
pub struct Producer {
    pub(crate) process: Arc<Process>,
    pub record: Arc<Record>,
    /// Set once the request has received its claim in the store. Without a store, always `None`.
    mark: Option<Mark>,
}

impl Producer {
    pub(crate) const fn new(process: Arc<Process>, record: Arc<Record>) -> Self {
        Self { process, record, mark: None }
    }

    /// Sets the mark of a run that other processes can reach.
    pub fn export(&mut self, mark: Mark) {
        self.mark = Some(mark);
    }

    /// Reports new events to the exporter.
    #[inline]
    pub(crate) fn mark(&self) {
        if let (Some(mark), Some(hooks)) = (&self.mark, &self.process.hooks)
            && mark.set()
        {
            hooks.has_events(mark.epoch);
        }
    }

    /// Starts recording the call's answer. Returns `false` if the run has already ended.
    pub(crate) fn begin(&self, options: Option<StreamOptions>) -> bool {
        let has_begun = self.record.begin(options);
        if let (Some(_), Some(hooks)) = (&self.mark, &self.process.hooks) {
            hooks.have_changed(slice::from_ref(&self.record));
        }
        has_begun
    }

    /// Frees the key, because the answer is not an event stream.
    pub(crate) fn void(&self) {
        self.process.void(&self.record);
    }

    /// Makes the call, and frees the key if it panics.
    pub(crate) fn within_call<R>(&self, call: impl FnOnce() -> R) -> R {
        self.process.counters.totals().started += 1;
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
            self.fail_call();
            resume_unwind(panic)
        })
    }

    /// Frees the key of a call that panicked before it answered, and reports the run as failed.
    pub(crate) fn fail_call(&self) {
        self.process.with_registry(|registry, deferred| {
            if registry.end(&self.record, Outcome::Failed, Some(PANICKED.into()), deferred) {
                registry.forget(&self.record, deferred);
            }
        });
    }

    pub(crate) fn fail(&self, failure: Failure) {
        self.process.end(&self.record, Outcome::Failed, Some(failure));
    }

    /// Returns whether the run is over. If it is not, arranges for its end to wake the task.
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

    /// Ends the run if it has reached its maximum duration, or abandons it if no client has been
    /// attached for `abandon_after`. Returns when to check again, or `None` if the run is over.
    pub(crate) fn end_if_due(&self) -> Option<Instant> {
        let max = self.process.options.max_duration;
        let end = self.record.started_at + max;
        if end <= Instant::now() {
            self.fail(format!("the run took longer than {max:?}").into());
            return None;
        }
        self.abandon().map(|due| due.min(end))
    }

    fn abandon(&self) -> Option<Instant> {
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

/// The text of the error of a run whose source panicked.
pub(crate) const PANICKED: &str = "the source panicked";

impl Drop for Producer {
    fn drop(&mut self) {
        if self.process.hooks.is_some() && self.mark.is_none() {
            self.void();
        } else {
            self.process.end(&self.record, Outcome::Interrupted, None);
        }
    }
}

/// The result of a request for a run.
pub enum Claim {
    /// The caller starts the run.
    New(Producer),
    /// The request is about this run.
    Existing(Arc<Record>),
}

/// What a request without a last event id does to the run that has its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It attaches to a run that is starting, running or has completed. A run that has ended
    /// without completing frees its key.
    Attach,
    /// It replaces any run.
    Replace,
}

impl Process {
    /// Returns the run of this process that a request is about, or claims the key for a new run.
    ///
    /// A request with a last event id, `last`, never starts or replaces a run: it asks for the rest
    /// of an answer, and a new run would be a different one.
    pub(crate) fn claim(
        self: &Arc<Self>,
        key: &RunKey,
        last: Option<&LastEventId>,
        purpose: Purpose,
    ) -> Result<Claim, StartError> {
        let claim = self.with_registry(|registry, deferred| {
            registry.expire(self.options.retain_for, deferred);
            let existing = registry.get(key).cloned();
            if last.is_some() {
                return existing.map(Claim::Existing).ok_or(StartError::NotFound);
            }
            match existing {
                Some(record) if purpose == Purpose::Attach && record.phase().is_usable() => {
                    return Ok(Claim::Existing(record));
                }
                // During a shutdown, no run would take its place.
                Some(earlier) if purpose == Purpose::Replace && !registry.is_draining => {
                    registry.end(&earlier, Outcome::Cancelled, None, deferred);
                }
                _ => {}
            }
            let record = registry.reserve(key, None, &self.options, &self.counters)?;
            registry.enter(&record, deferred);
            Ok(Claim::New(Producer::new(Arc::clone(self), record)))
        });
        match &claim {
            Ok(Claim::New(_)) => self.make_room(0),
            Ok(Claim::Existing(_)) | Err(StartError::NotFound) => {}
            Err(_) => self.counters.totals().refused += 1,
        }
        claim
    }

    /// Reserves a run that other processes can reach, unless a limit is reached. It counts as running, but requests do not find
    /// it before it is [entered](Self::enter). A run of this process that the new one will replace, `earlier`, does not count towards the
    /// limits.
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

    /// Lets requests find a reserved run, and ends a run of this process that has its key.
    pub fn enter(self: &Arc<Self>, reserved: &Producer, earlier: Option<Epoch>) {
        let record = &reserved.record;
        self.with_registry(|registry, deferred| {
            if let Some(other) = registry.get(&record.key).cloned() {
                // If the new run does not replace `other`, the store has lost the claim of `other`.
                let is_replaced = earlier == Some(other.epoch);
                let outcome = if is_replaced { Outcome::Cancelled } else { Outcome::Interrupted };
                registry.end(&other, outcome, None, deferred);
            }
            // The run may have ended already, at the beginning of a shutdown.
            registry.enter(record, deferred);
        });
        self.make_room(0);
    }
}
