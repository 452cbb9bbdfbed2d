use std::sync::{Arc, Weak, atomic::Ordering::AcqRel};

use bytes::Bytes;
use tokio::time::Instant;

use super::record::{Deferred, Phase, Record, State};
use super::recorded_options;
use crate::history::{DeferredDrops, Epoch, WakeList};
use crate::runs::options::{Options, RUN_OVERHEAD};
use crate::runs::{Outcome, RunKey};
use crate::{runs::outcome::Failure, runs::stats::RunCounters};

/// Write access to a mirror: this process's copy of another process's run. Once no client or handle
/// holds the record, the methods do nothing.
#[derive(Debug)]
pub struct MirrorWriter(Weak<Record>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    Appended,
    /// Events before the batch are missing.
    Hole,
    /// The bytes are not the events of the batch.
    Malformed,
}

impl MirrorWriter {
    pub(crate) fn create(
        key: RunKey,
        epoch: Epoch,
        after: u64,
        options: &Options,
        counters: Arc<RunCounters>,
    ) -> (Arc<Record>, Self) {
        let mut record = Record::new(key, epoch, options, counters);
        record.is_mirror = true;
        let record = Arc::new(record);
        record.lock().overhead.set(RUN_OVERHEAD + record.key.len());
        let mirror = Self(Arc::downgrade(&record));
        mirror.skip_to(after);
        (record, mirror)
    }

    pub fn record(&self) -> Option<Arc<Record>> {
        self.0.upgrade()
    }

    /// Begins the stream. `head` is what [`Record::head`] returns.
    pub fn begin(&self, head: &[u8]) {
        if let Some(record) = self.record() {
            record.raise_retain_bytes(recorded_options::decode_retain_bytes(head).unwrap_or(0));
            record.begin(recorded_options::decode(head));
        }
    }

    /// Treats the events up to `sequence` as evicted: the store has lost them, or no client asked
    /// for them.
    pub fn skip_to(&self, sequence: u64) {
        let Some(record) = self.record() else { return };
        let mut drops = DeferredDrops::default();
        let waiters = {
            let mut state = record.lock();
            if sequence <= state.newest {
                return;
            }
            state.newest = sequence;
            state.log.skip_to(sequence, &mut drops);
            state.waiters.take()
        };
        waiters.wake();
    }

    /// Appends a batch of events, but skips those that the record already has.
    pub fn append_batch(&self, first: u64, last: u64, bytes: &Bytes) -> Mirrored {
        let Some(record) = self.record() else { return Mirrored::Appended };
        let mut drops = DeferredDrops::default();
        let (mirrored, waiters) = {
            let mut state = record.lock();
            if first > state.newest.saturating_add(1) {
                return Mirrored::Hole;
            }
            let before = state.newest;
            let mirrored =
                record.append_events(&mut state, (first, last), bytes, u64::MAX, &mut drops);
            let waiters = if state.newest > before { state.waiters.take() } else { WakeList::None };
            (mirrored, waiters)
        };
        waiters.wake();
        record.changed.notify_waiters();
        mirrored
    }

    pub fn end(&self, outcome: Outcome, error: Option<Arc<str>>) {
        self.change(|record, state, deferred| {
            state.end(record, outcome, error.map(Failure::from), deferred);
        });
    }

    /// Ends the record because this process can no longer read the run.
    pub fn lose(&self) {
        self.change(lose);
    }

    pub fn void(&self) {
        self.change(|record, state, deferred| match state.phase {
            Phase::Starting => state.void(deferred),
            // The record can have events. If it became void, its clients would take these events
            // for the complete answer.
            _ => lose(record, state, deferred),
        });
    }

    fn change(&self, change: impl FnOnce(&Record, &mut State, &mut Deferred)) {
        let Some(record) = self.record() else { return };
        let mut deferred = Deferred::default();
        {
            let mut state = record.lock();
            if !state.phase.is_live() {
                return;
            }
            change(&record, &mut state, &mut deferred);
        }
        deferred.changed.push(record);
        // The run's own process, or a process that declares the run dead, reports the end.
        _ = deferred.wake();
    }

    pub fn memory(&self) -> usize {
        self.record().map_or(0, |record| record.lock().log.events_memory())
    }

    /// Evicts the frames, and the events that all clients have read. If that frees nothing, evicts
    /// all events. They are loaded again when a client that needs them reconnects.
    pub fn give_way(&self) {
        let Some(record) = self.record() else { return };
        let mut drops = DeferredDrops::default();
        let mut state = record.lock();
        let memory = state.log.events_memory();
        // Without a client, a request may still wait for the events, so they count as unread.
        let read = state.readers.slowest().unwrap_or(0);
        state.log.evict_frames(&mut drops);
        state.log.evict_up_to(read, usize::MAX, &mut drops);
        if state.log.events_memory() == memory {
            state.log.evict(usize::MAX, &mut drops);
        }
        state.log.shrink();
        state.has_given_way = true;
    }
}

fn lose(record: &Record, state: &mut State, deferred: &mut Deferred) {
    state.is_lost = true;
    state.end(record, Outcome::Interrupted, None, deferred);
}

impl Record {
    /// Appends events. To stay within `retain_bytes`, evicts old events, but only up to the number
    /// `up_to`. Without room, the events are appended all the same.
    pub(super) fn append_events(
        &self,
        state: &mut State,
        (first, last): (u64, u64),
        bytes: &Bytes,
        up_to: u64,
        drops: &mut DeferredDrops,
    ) -> Mirrored {
        let mut rest = bytes.clone();
        for sequence in first..=last {
            let Some(len) = memchr::memmem::find(&rest, b"\n\n").map(|at| at + 2) else {
                return Mirrored::Malformed;
            };
            let event = rest.split_to(len);
            let lines = event.strip_suffix(b"\n").unwrap_or_default();
            if !lines.ends_with(&self.id_line(sequence)) {
                return Mirrored::Malformed;
            }
            if sequence <= state.newest || !state.phase.is_live() {
                continue;
            }
            // A slice would keep the whole batch in memory.
            let event = if len == bytes.len() { event } else { Bytes::copy_from_slice(&event) };
            state.log.make_room(len, self.retain_bytes(), up_to, drops);
            state.newest = sequence;
            state.bytes += len as u64;
            state.log.append(sequence, event, Default::default(), Default::default(), drops);
        }
        if rest.is_empty() { Mirrored::Appended } else { Mirrored::Malformed }
    }

    pub fn newest(&self) -> u64 {
        self.lock().newest
    }

    pub fn is_read(&self) -> bool {
        self.lock().readers.count() > 0
    }

    pub fn is_lost(&self) -> bool {
        self.lock().is_lost
    }

    pub fn is_forgotten(&self) -> bool {
        self.lock().is_forgotten
    }

    /// Returns whether no event above `position` was evicted. Unless the record [is
    /// lost](Self::is_lost), it then has all events above `position`, or will have them.
    pub fn serves(&self, position: u64) -> bool {
        self.lock().log.evicted_after(position).is_none()
    }

    /// Returns whether the record has the event `position`, or will get no further events.
    pub fn has_reached(&self, position: u64) -> bool {
        let state = self.lock();
        match state.phase {
            // A starting run has no events. A client can have the id of position 0.
            Phase::Starting => position == 0,
            Phase::Running => state.newest >= position,
            Phase::Void | Phase::Ended(_) => true,
        }
    }

    pub async fn reach(&self, position: u64) {
        self.until(|| self.has_reached(position).then_some(())).await;
    }

    /// Marks the run as having new events. Returns `true` if the mark was not set before.
    #[inline]
    pub fn set_mark(&self) -> bool {
        !self.is_marked.swap(true, AcqRel)
    }

    /// Clears the mark, so the next event notifies the exporter.
    pub fn clear_mark(&self) {
        self.is_marked.swap(false, AcqRel);
    }

    /// Copies events after `seen`, up to `max` bytes or one larger event.
    pub fn next_batch(&self, seen: u64, max: usize) -> Option<(u64, u64, Bytes)> {
        let state = self.lock();
        state.log.copy_after(seen, max)
    }

    pub fn progress(&self) -> (Phase, u64, Option<Arc<str>>) {
        let state = self.lock();
        let text = state.failure.as_ref().map(|failure| Arc::clone(failure.text()));
        (state.phase, state.newest, text)
    }

    /// Returns what a store keeps in front of the events: the encoded options of the handler, and
    /// how many bytes of events the run keeps.
    pub fn head(&self) -> Bytes {
        recorded_options::encode(self.lock().options.as_deref(), self.retain_bytes())
    }

    /// Treats the run as having a client until `time`, so it isn't abandoned before.
    pub fn attend_until(&self, time: Instant) {
        self.lock().readers.attend_until(time);
    }
}
