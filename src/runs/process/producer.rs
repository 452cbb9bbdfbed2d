use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    slice,
    sync::Arc,
    task::Context,
};

use tokio::time::Instant;

use super::{mark::Mark, process::Process};
use crate::{
    history::drop_waker,
    options::StreamOptions,
    runs::{Outcome, failure::Failure, record::Record},
};

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
