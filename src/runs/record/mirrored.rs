use std::sync::Arc;

use bytes::Bytes;

use super::{
    deferred::Deferred,
    last_event::GAP,
    record::Record,
    state::{Phase, State},
};
use crate::{
    history::{DeferredDrops, WakeList},
    options::StreamOptions,
    runs::{Outcome, failure::Failure},
};

/// The result of [`Record::append_batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mirrored {
    Appended,
    /// Events before the batch are missing.
    Hole,
    /// The bytes are not the events that the batch claims to have.
    Malformed,
}

/// Records of runs of other processes. Such a record has no task: it changes when pushes and pages
/// of the run's stream arrive.
impl Record {
    /// Treats the events up to `sequence` as evicted, because the store no longer has them or no
    /// client asked for them.
    pub(crate) fn skip_to(&self, sequence: u64) {
        let mut drops = DeferredDrops::default();
        let waiters = {
            let mut state = self.lock();
            if sequence <= state.newest {
                return;
            }
            state.newest = sequence;
            state.log.skip_to(sequence, &mut drops);
            state.waiters.take()
        };
        waiters.wake();
    }

    /// Appends the events `first..=last` of a batch that the record does not have.
    pub(crate) fn append_batch(&self, first: u64, last: u64, bytes: &Bytes) -> Mirrored {
        let mut drops = DeferredDrops::default();
        let (mirrored, waiters) = {
            let mut state = self.lock();
            if first > state.newest.saturating_add(1) {
                return Mirrored::Hole;
            }
            let before = state.newest;
            let mirrored = self.append_events(&mut state, (first, last), bytes, &mut drops);
            let waiters = if state.newest > before { state.waiters.take() } else { WakeList::None };
            (mirrored, waiters)
        };
        waiters.wake();
        self.changed.notify_waiters();
        mirrored
    }

    pub(super) fn append_events(
        &self,
        state: &mut State,
        (first, last): (u64, u64),
        bytes: &Bytes,
        drops: &mut DeferredDrops,
    ) -> Mirrored {
        let mut rest = bytes.clone();
        let mut next = first;
        while next <= last {
            let Some(len) = memchr::memmem::find(&rest, b"\n\n").map(|at| at + 2) else {
                return Mirrored::Malformed;
            };
            let event = rest.split_to(len);
            let lines = event.strip_suffix(b"\n").unwrap_or_default();
            let sequence = if lines.ends_with(&self.id_line(next)) {
                next
            } else if last - next > GAP / 2 && lines.ends_with(&self.id_line(last)) {
                // Another process has added this event. Of the numbers in the gap before it, the
                // owner has used less than half.
                last
            } else {
                return Mirrored::Malformed;
            };
            next = sequence.saturating_add(1);
            if sequence <= state.newest || !state.phase.is_live() {
                continue;
            }
            // A slice would keep the whole batch.
            let event = if len == bytes.len() { event } else { Bytes::copy_from_slice(&event) };
            state.log.make_room(len, self.retain_bytes, u64::MAX, drops);
            state.unassigned += sequence - state.newest - 1;
            state.newest = sequence;
            state.bytes += len as u64;
            state.log.append(sequence, event, Default::default(), Default::default(), drops);
        }
        if rest.is_empty() { Mirrored::Appended } else { Mirrored::Malformed }
    }

    /// Ends the record of a run that has ended at its process.
    pub(crate) fn end_mirror(self: &Arc<Self>, outcome: Outcome, error: Option<Arc<str>>) {
        self.change(|state, deferred| {
            state.end(self, outcome, error.map(Failure::from), deferred);
            deferred.ends.clear();
        });
    }

    /// Ends the record because the store could not be reached, or lost the run.
    pub(crate) fn lose_mirror(self: &Arc<Self>) {
        self.change(|state, deferred| self.lose(state, deferred));
    }

    fn lose(self: &Arc<Self>, state: &mut State, deferred: &mut Deferred) {
        state.is_lost = true;
        state.end(self, Outcome::Interrupted, None, deferred);
        deferred.ends.clear();
    }

    /// Ends the record of a run whose call did not return an event stream.
    pub(crate) fn void_mirror(self: &Arc<Self>) {
        self.change(|state, deferred| match state.phase {
            Phase::Starting => state.void(deferred),
            // The record has events. If it became void, its clients would take them for the
            // complete answer.
            _ => self.lose(state, deferred),
        });
    }

    fn change(self: &Arc<Self>, change: impl FnOnce(&mut State, &mut Deferred)) {
        let mut deferred = Deferred::default();
        {
            let mut state = self.lock();
            if !state.phase.is_live() {
                return;
            }
            change(&mut state, &mut deferred);
        }
        deferred.changed.push(Arc::clone(self));
        _ = deferred.wake();
    }

    /// Returns the sequence number of the newest event.
    pub(crate) fn newest(&self) -> u64 {
        self.lock().newest
    }

    /// Returns whether a client is attached.
    pub(crate) fn is_read(&self) -> bool {
        self.lock().readers.count() > 0
    }

    /// Returns whether the record has all events above `position`, or will have them.
    pub(crate) fn serves(&self, position: u64) -> bool {
        self.lock().log.evicted_after(position).is_none()
    }

    /// Returns whether the record has come as far as a client that has seen the events up to
    /// `position`, or will not come any further.
    pub(crate) fn has_reached(&self, position: u64) -> bool {
        let state = self.lock();
        match state.phase {
            // A starting run has assigned no id but that of the beginning.
            Phase::Starting => position == 0,
            Phase::Running => state.newest >= position,
            Phase::Void | Phase::Ended(_) => true,
        }
    }

    /// Returns whether requests with the key no longer find the run.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.lock().is_forgotten
    }

    /// Copies the next events above `seen`, about `max` bytes.
    pub(crate) fn next_batch(&self, seen: u64, max: usize) -> Option<(u64, u64, Bytes)> {
        let state = self.lock();
        let (first, last, bytes) = state.log.copy_after(seen, max)?;
        // Sequence numbers that no event has belong to the batch of the event after them.
        let first = if state.log.evicted_after(seen).is_none() { seen + 1 } else { first };
        Some((first, last, bytes))
    }

    /// Returns the phase, the newest event and the error's text, for the export of the run.
    pub(crate) fn progress(&self) -> (Phase, u64, Option<Arc<str>>) {
        let state = self.lock();
        let text = state.failure.as_ref().map(|failure| Arc::clone(failure.text()));
        (state.phase, state.newest, text)
    }

    /// Returns a copy of the handler's options that apply to every client's stream.
    pub(crate) fn options(&self) -> Option<StreamOptions> {
        self.lock().options.as_deref().cloned()
    }

    /// Treats the run as attended until `time`.
    pub(crate) fn attend_until(&self, time: tokio::time::Instant) {
        self.lock().readers.attend_until(time);
    }
}
