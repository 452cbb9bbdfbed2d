use std::{
    sync::Arc,
    task::{Context, Waker},
};

use tokio::time::Instant;

use super::{Outcome, record::Record, shared::Shared, state::Phase};
use crate::{history::drop_waker, options::StreamOptions};

/// The right to record a run, which its task holds. Dropped early, it interrupts the run.
pub(super) struct Producer {
    pub(super) shared: Arc<Shared>,
    pub(super) record: Arc<Record>,
}

impl Producer {
    pub(super) const fn new(shared: Arc<Shared>, record: Arc<Record>) -> Self {
        Self { shared, record }
    }

    /// Starts recording the call's answer. Returns `false` if the run has already ended.
    pub(super) fn begin(&self, options: Option<StreamOptions>) -> bool {
        self.record.begin(options)
    }

    /// Frees the key, as the answer is no event stream.
    pub(super) fn void(&self) {
        self.shared.void(&self.record);
    }

    /// Calls the source, and frees the key if that panics.
    pub(super) fn within_call<R>(&self, call: impl FnOnce() -> R) -> R {
        let mut guard = FailOnPanic(Some(self));
        let returned = call();
        guard.0 = None;
        returned
    }

    /// Frees the key, as the call panicked before its answer.
    pub(super) fn fail_call(&self) {
        self.shared.fail_call(&self.record, PANICKED.into());
    }

    pub(super) fn complete(&self) {
        self.shared.end(&self.record, Outcome::Completed, None);
    }

    pub(super) fn fail(&self, error: &str) {
        self.shared.end(&self.record, Outcome::Failed, Some(error.into()));
    }

    /// Returns whether the run is over. Until then, its end wakes the task.
    pub(super) fn is_over(&self, cx: &Context<'_>) -> bool {
        let mut new: Option<Waker> = None;
        loop {
            let earlier = {
                let mut state = self.record.lock();
                if !state.phase.is_live() {
                    break;
                }
                match (&state.task, new.take()) {
                    (Some(task), _) if task.will_wake(cx.waker()) => return false,
                    (_, Some(waker)) => Some(state.task.replace(waker)),
                    (_, None) => None,
                }
            };
            match earlier {
                Some(earlier) => {
                    drop_waker(earlier);
                    return false;
                }
                // Cloning a waker can run any code, so no lock may be held.
                None => new = Some(cx.waker().clone()),
            }
        }
        drop_waker(new);
        true
    }

    /// Returns how the run ended, `None` while it has not.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.record.phase() {
            Phase::Ended(outcome) => Some(outcome),
            Phase::Starting | Phase::Running | Phase::Void => None,
        }
    }

    /// Abandons the run if no client has been attached for long enough; otherwise returns when that
    /// may be the case.
    pub(super) fn abandon(&self) -> Option<Instant> {
        let after = self.shared.options.abandon_after;
        let now = Instant::now();
        let since = self.record.lock().readers.unattended_since();
        let due = since.unwrap_or(now) + after;
        if due > now {
            return Some(due);
        }
        let is_abandoned = self.shared.end_unattended(&self.record, Outcome::Abandoned);
        // A client may have attached itself meanwhile.
        (!is_abandoned && self.record.phase().is_live()).then_some(now + after)
    }
}

/// The text of the error of a run whose source panicked.
pub(super) const PANICKED: &str = "the source panicked";

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.end(&self.record, Outcome::Interrupted, None);
    }
}

/// Fails the call of a producer when it is dropped by a panic.
struct FailOnPanic<'p>(Option<&'p Producer>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if let Some(producer) = self.0 {
            producer.fail_call();
        }
    }
}
