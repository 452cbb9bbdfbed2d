use std::task::{Context, Poll, Waker};
use std::{mem, sync::Arc, sync::atomic::Ordering::Relaxed};

use bytes::Bytes;

use super::record::{Deferred, Phase, Record, State};
use crate::connection::LastEventId;
use crate::history::{DeferredDrops, Ticket, seen};
use crate::runs::{Outcome, RunError};
use crate::wake::{drop_waker, wake};

/// A client's position in a run. While this value exists, the client counts as attached.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) record: Arc<Record>,
    index: usize,
    ticket: Ticket,
    /// Whether the last read returned the newest event. The next read then probably waits.
    has_read_all: bool,
}

pub(crate) type Read = Option<Result<Bytes, RunError>>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoEvents {
    /// The id is not from this run.
    NotFound,
    /// This record doesn't have the event with the id yet, or has evicted the client's next event.
    Lost,
    /// This record is a copy of another process's run. It has evicted the client's next event, which
    /// the store may still have. The client has to repeat its request.
    GivenWay,
    /// The run is forgotten, or its call did not return an event stream.
    NoRun,
    /// The run has ended, and the client has seen all events.
    AllSeen(Outcome),
}

impl Record {
    pub(crate) fn attach(self: &Arc<Self>, last: Option<&LastEventId>) -> Result<Reader, NoEvents> {
        let last = last.filter(|last| !last.is_empty());
        let mut state = self.lock();
        if state.is_forgotten || state.phase == Phase::Void {
            return Err(NoEvents::NoRun);
        }
        let Some(position) = seen(last, self.epoch, state.newest) else {
            let is_own = seen(last, self.epoch, u64::MAX).is_some();
            return Err(if is_own { NoEvents::Lost } else { NoEvents::NotFound });
        };
        if state.log.evicted_after(position).is_some() {
            let is_given_way = state.has_given_way;
            return Err(if is_given_way { NoEvents::GivenWay } else { NoEvents::Lost });
        }
        self.counters.attached.fetch_add(1, Relaxed);
        let index = state.readers.add(position);
        // The source may be waiting for the fastest client, which may now be this one.
        let task = if state.is_full { state.task.take() } else { None };
        drop(state);
        task.into_iter().for_each(wake);
        Ok(Reader { record: Arc::clone(self), index, ticket: Ticket::NONE, has_read_all: false })
    }
}

impl Reader {
    /// Waits until the run has started. Returns an error if there is no run for the client, or if
    /// the run has ended and the client has seen all events.
    pub(crate) async fn started(&self) -> Result<(), NoEvents> {
        let has_answered = || {
            let state = self.record.lock();
            let seen = state.readers.get(self.index);
            let has_all = state.log.evicted_after(seen).is_none();
            let is_at_end = || has_all && state.log.next(seen).is_none();
            let is_complete = has_all && state.phase == Phase::Ended(Outcome::Completed);
            match state.phase {
                Phase::Starting => None,
                Phase::Void => Some(Err(NoEvents::NoRun)),
                // After `NoRun`, a request starts another run. A client that waits for an answer
                // that is complete gets it instead, because it was paid for.
                _ if state.is_forgotten && !is_complete => Some(Err(NoEvents::NoRun)),
                Phase::Ended(outcome) if is_at_end() => Some(Err(NoEvents::AllSeen(outcome))),
                Phase::Running | Phase::Ended(_) => Some(Ok(())),
            }
        };
        self.record.until(has_answered).await
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        let mut drops = DeferredDrops::default();
        // Cloning a waker can run any code, so no lock may be held.
        let mut waker = mem::take(&mut self.has_read_all).then(|| cx.waker().clone());
        loop {
            match self.step(cx.waker(), &mut waker, &mut drops) {
                Step::Read(read, task) => {
                    task.into_iter().for_each(wake);
                    drop_waker(waker);
                    return Poll::Ready(read);
                }
                Step::Waiting(earlier) => {
                    drop_waker(earlier.or(waker));
                    return Poll::Pending;
                }
                Step::NeedsWaker => waker = Some(cx.waker().clone()),
            }
        }
    }

    fn step(&mut self, own: &Waker, new: &mut Option<Waker>, drops: &mut DeferredDrops) -> Step {
        let mut state = self.record.lock();
        if let Some(read) = self.read_from(&mut state, drops) {
            self.has_read_all = state.readers.get(self.index) == state.newest;
            let task = if state.is_full { state.task.take() } else { None };
            return Step::Read(read, task);
        }
        if state.waiters.is_listed(self.ticket, own) {
            return Step::Waiting(None);
        }
        let Some(waker) = new.take() else {
            return Step::NeedsWaker;
        };
        let earlier = state.waiters.remove(self.ticket);
        self.ticket = state.waiters.add(waker);
        Step::Waiting(earlier)
    }

    fn read_from(&self, state: &mut State, drops: &mut DeferredDrops) -> Option<Read> {
        let seen = state.readers.get(self.index);
        if seen < state.newest {
            if state.log.evicted_after(seen).is_some() {
                self.record.counters.totals().lagged += 1;
                return Some(Some(Err(RunError::LAGGED)));
            }
            if let Some(batch) = state.log.batch(seen, u64::MAX, drops) {
                state.readers.set(self.index, batch.last);
                return Some(Some(Ok(batch.bytes)));
            }
        }
        match state.phase {
            Phase::Starting | Phase::Running => None,
            _ if state.is_lost => Some(Some(Err(RunError::LOST))),
            Phase::Void | Phase::Ended(Outcome::Completed) => Some(None),
            Phase::Ended(outcome) => {
                Some(Some(Err(RunError::ended(outcome, state.failure.clone()))))
            }
        }
    }
}

enum Step {
    /// What was read, and the waker of the run's task if the task waits for room.
    Read(Read, Option<Waker>),
    /// Nothing to read yet. Contains the earlier waker that the new one has replaced, if any.
    Waiting(Option<Waker>),
    NeedsWaker,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut deferred = Deferred::default();
        let (waker, task) = {
            let mut state = self.record.lock();
            state.readers.remove(self.index);
            // No other client can attach to this record, even if the run is still being exported.
            if state.is_forgotten && state.readers.count() == 0 {
                state.clear(&mut deferred);
            }
            // The source may have waited for this client.
            let task = if state.is_full { state.task.take() } else { None };
            (state.waiters.remove(self.ticket), task)
        };
        self.record.counters.attached.fetch_sub(1, Relaxed);
        drop_waker(waker);
        task.into_iter().for_each(wake);
        _ = deferred.wake();
    }
}
