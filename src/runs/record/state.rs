use std::task::Waker;

use tokio::time::Instant;

use super::{deferred::Deferred, readers::Readers, record::Record};
use crate::{
    history::{Log, MemoryShare, Waiters},
    options::StreamOptions,
    runs::{Outcome, RunEnd, failure::Failure, overhead::RUN_OVERHEAD},
};

/// The part of a [`Record`] that is protected by its lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Whether the process has lost contact with the run's process.
    pub(crate) is_lost: bool,
    /// Whether requests with the key no longer find the run.
    pub(crate) is_forgotten: bool,
    /// Whether a mirror has evicted events that the store may have.
    pub(crate) has_given_way: bool,
    pub(crate) log: Log,
    pub(crate) overhead: MemoryShare,
    /// The sequence number of the newest event.
    pub(crate) newest: u64,
    /// How many sequence numbers up to `newest` no event has.
    pub(crate) unassigned: u64,
    /// The total size of all events on the wire, including evicted ones.
    pub(crate) bytes: u64,
    pub(crate) readers: Readers,
    pub(crate) waiters: Waiters,
    /// Wakes the run's task when there is room again or the run is over.
    pub(crate) task: Option<Waker>,
    /// Whether the task waits until a client has read more events.
    pub(crate) is_full: bool,
    /// The handler's options that apply to every client's stream.
    pub(crate) options: Option<Box<StreamOptions>>,
    pub(crate) failure: Option<Failure>,
    pub(crate) ended_at: Option<Instant>,
}

/// The phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The call has not answered yet.
    Starting,
    Running,
    /// The call did not return an event stream, so there is no run.
    Void,
    Ended(Outcome),
}

impl Phase {
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }

    /// Returns how the run ended. Returns `None` if it has not ended, or if its call did not return
    /// an event stream.
    pub(crate) const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            Self::Starting | Self::Running | Self::Void => None,
        }
    }

    /// Returns whether a client without an id attaches to such a run instead of starting another.
    pub const fn is_usable(self) -> bool {
        self.is_live() || matches!(self, Self::Ended(Outcome::Completed))
    }
}

impl State {
    /// Ends the run. For a run of this process, the registry calls this while its own lock is held.
    pub(crate) fn end(
        &mut self,
        record: &Record,
        outcome: Outcome,
        failure: Option<Failure>,
        deferred: &mut Deferred,
    ) {
        let now = Instant::now();
        self.phase = Phase::Ended(outcome);
        self.failure = failure;
        self.ended_at = Some(now);
        let text_len = self.failure.as_ref().map_or(0, |failure| failure.text().len());
        self.overhead.set(RUN_OVERHEAD + record.key.len() + text_len);
        self.wake_all(deferred);
        deferred.ends.push(RunEnd {
            key: record.key.clone(),
            epoch: record.epoch,
            outcome,
            events: self.newest - self.unassigned,
            bytes: self.bytes,
            age: now.saturating_duration_since(record.started_at),
        });
    }

    /// Ends a run whose call did not return an event stream.
    pub(crate) fn void(&mut self, deferred: &mut Deferred) {
        self.phase = Phase::Void;
        self.is_forgotten = true;
        self.overhead.set(0);
        self.wake_all(deferred);
    }

    fn wake_all(&mut self, deferred: &mut Deferred) {
        deferred.waiters.push(self.waiters.take());
        deferred.wakers.extend(self.task.take());
    }

    /// Returns the memory of the run.
    pub(crate) fn memory(&self) -> usize {
        self.overhead.bytes() + self.log.events_memory()
    }

    /// Evicts all events. The body of a client that has not read all of them fails.
    pub(crate) fn clear(&mut self, deferred: &mut Deferred) {
        self.log.evict(usize::MAX, &mut deferred.drops);
        self.overhead.set(0);
        deferred.waiters.push(self.waiters.take());
    }
}
