use std::{
    mem,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{
    record::Record,
    state::{Phase, State},
};
use crate::{
    connection::LastEventId,
    history::{DeferredDrops, Ticket, drop_waker, wake},
    runs::{Outcome, RunError},
};

/// A client's position in a run. While it exists, the client counts as attached.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) record: Arc<Record>,
    index: u32,
    ticket: Ticket,
    /// Whether the last read returned the newest event, so that the next one will probably wait.
    has_read_all: bool,
}

/// The result of [`Reader::poll_read`].
pub(crate) enum Read {
    Events(Bytes),
    End,
    Failure(RunError),
}

/// The result of [`Record::attach`].
pub(crate) enum Attached {
    /// The call has no answer yet.
    Starting(Reader),
    Running(Reader),
    Ended {
        reader: Reader,
        outcome: Outcome,
        /// Whether the client has seen all events.
        is_at_end: bool,
    },
    /// The id is not one of this run, or the events after it are no longer kept.
    NotFound,
    /// The run is forgotten, or its call did not return an event stream.
    Unknown,
}

impl Record {
    /// Attaches a client that has seen the events up to `last`.
    pub(crate) fn attach(self: &Arc<Self>, last: Option<&LastEventId>) -> Attached {
        let last = last.filter(|last| !last.is_empty());
        let mut state = self.lock();
        if state.is_forgotten {
            return Attached::Unknown;
        }
        let Some(position) = self.position(&state, last) else {
            return Attached::NotFound;
        };
        if state.log.evicted_after(position).is_some() {
            return Attached::NotFound;
        }
        match state.phase {
            Phase::Void => Attached::Unknown,
            // The run has not assigned any ids yet.
            Phase::Starting if last.is_some() => Attached::NotFound,
            Phase::Starting => Attached::Starting(self.add_reader(&mut state, position)),
            Phase::Running => Attached::Running(self.add_reader(&mut state, position)),
            Phase::Ended(outcome) => {
                let is_at_end = state.log.next(position).is_none();
                let reader = self.add_reader(&mut state, position);
                Attached::Ended { reader, outcome, is_at_end }
            }
        }
    }

    fn add_reader(self: &Arc<Self>, state: &mut State, position: u64) -> Reader {
        self.counters.attached.fetch_add(1, Relaxed);
        let index = state.readers.add(position);
        Reader { record: Arc::clone(self), index, ticket: Ticket::NONE, has_read_all: false }
    }
}

impl Reader {
    /// Returns the sequence number up to which the client has read.
    pub(crate) fn position(&self) -> u64 {
        self.record.lock().readers.get(self.index)
    }

    /// Returns the next events, or the end of the run.
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
        if state.log.evicted_after(seen).is_some() {
            self.record.counters.count_lag();
            return Some(Read::Failure(RunError::lagged()));
        }
        if let Some(batch) = state.log.batch(seen, u64::MAX, drops) {
            state.readers.set(self.index, batch.last);
            return Some(Read::Events(batch.bytes));
        }
        match state.phase {
            Phase::Starting | Phase::Running => None,
            _ if state.is_lost => Some(Read::Failure(RunError::lost())),
            Phase::Void | Phase::Ended(Outcome::Completed) => Some(Read::End),
            Phase::Ended(outcome) => {
                Some(Read::Failure(RunError::ended(outcome, state.error.clone())))
            }
        }
    }
}

/// The result of an attempt to read or to wait.
enum Step {
    /// With the waker of the run's task, if the task waits for room.
    Read(Read, Option<Waker>),
    /// With the waker that the new one has replaced, if any.
    Waiting(Option<Waker>),
    NeedsWaker,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let (waker, task) = {
            let mut state = self.record.lock();
            state.readers.remove(self.index);
            // The source may have waited for this client.
            let task = if state.is_full { state.task.take() } else { None };
            (state.waiters.remove(self.ticket), task)
        };
        self.record.counters.attached.fetch_sub(1, Relaxed);
        drop_waker(waker);
        task.into_iter().for_each(wake);
    }
}

impl Reader {
    /// Waits until the call has answered.
    pub(crate) async fn started(self) -> Attached {
        loop {
            // Created before the phase is read, so that no change is missed.
            let changed = self.record.changed.notified();
            let (phase, is_forgotten, is_at_end) = {
                let state = self.record.lock();
                let position = state.readers.get(self.index);
                (state.phase, state.is_forgotten, state.log.next(position).is_none())
            };
            match phase {
                Phase::Starting => changed.await,
                _ if is_forgotten => return Attached::Unknown,
                Phase::Void => return Attached::Unknown,
                Phase::Running => {
                    drop(changed);
                    return Attached::Running(self);
                }
                Phase::Ended(outcome) => {
                    drop(changed);
                    return Attached::Ended { reader: self, outcome, is_at_end };
                }
            }
        }
    }
}
