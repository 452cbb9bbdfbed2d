use std::sync::{Arc, atomic::AtomicBool, atomic::AtomicUsize, atomic::Ordering::Relaxed};
use std::{task::Waker, time::Duration};

use bytes::Bytes;
use slab::Slab;
use tokio::{sync::Notify, time::Instant};

use super::cutter::{Cutter, RunEventId, TooLarge};
use crate::decode::{Decoder, Message};
use crate::event::{Encoded, Event};
use crate::history::{DeferredDrops, Epoch, Evicted, Limits, Log, MemoryShare, Waiters, WakeList};
use crate::runs::options::{Options, RUN_OVERHEAD, TASK_OVERHEAD, max_event};
use crate::runs::stats::RunCounters;
use crate::runs::{Outcome, RunEnd, RunKey};
use crate::sync::{Mutex, MutexGuard, lock};
use crate::{callback::without_panic, wake::catching_wakes};
use crate::{options::StreamOptions, runs::outcome::Failure};

/// The maximum length of an id: an epoch of 17 digits, a hyphen and a sequence number.
const MAX_ID_LEN: usize = 17 + 1 + 20;

/// The number of bytes after which [`Record::append`] returns. The last event may exceed it.
const APPEND_LIMIT: usize = 16 * 1024;

#[derive(Debug)]
pub struct Record {
    pub key: RunKey,
    pub epoch: Epoch,
    id_prefix: Box<str>,
    pub(crate) started_at: Instant,
    /// Atomic, because a mirror only learns later how much the run's owner keeps.
    retain_bytes: AtomicUsize,
    pub(crate) counters: Arc<RunCounters>,
    /// Notified when the phase changes, the run is forgotten, or a mirror gets events. Tasks wait
    /// with [`until`], whose wakers don't panic.
    pub(super) changed: Notify,
    /// Whether the run's exporter was told of new events. Atomic, to be set without the lock.
    pub(super) is_marked: AtomicBool,
    /// Whether this is a copy of another process's run.
    pub(crate) is_mirror: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) enum Appended {
    /// All bytes are recorded, except for an incomplete event.
    All,
    /// [`APPEND_LIMIT`] is reached. The caller appends the rest with another call, so other tasks
    /// can take the lock in between.
    Some,
    /// There is no room: even the fastest client has not read the oldest events yet.
    Full,
    TooLarge,
    /// The run is over.
    Over,
}

/// The maximum number of bytes that [`Record::messages`] copies at a time, unless a single event is
/// larger.
const CHUNK_SIZE: usize = 64 * 1024;

impl Record {
    pub(crate) fn new(
        key: RunKey,
        epoch: Epoch,
        options: &Options,
        counters: Arc<RunCounters>,
    ) -> Self {
        let now = Instant::now();
        let limits = Limits {
            events: usize::MAX,
            bytes: usize::MAX,
            age: Duration::MAX,
            memory: options.max_memory,
        };
        let evicted = Evicted { up_to: 0, is_exact: true };
        let mut overhead = MemoryShare::new(Arc::clone(&counters.memory));
        overhead.set(RUN_OVERHEAD + key.len() + TASK_OVERHEAD);
        Self {
            id_prefix: format!("{epoch}-").into(),
            key,
            epoch,
            started_at: now,
            retain_bytes: AtomicUsize::new(options.max_record()),
            changed: Notify::new(),
            is_marked: AtomicBool::new(false),
            is_mirror: false,
            state: Mutex::new(State {
                phase: Phase::Starting,
                is_lost: false,
                is_forgotten: false,
                has_given_way: false,
                log: Log::new(limits, 0, evicted, Arc::clone(&counters.memory)),
                overhead,
                newest: 0,
                bytes: 0,
                readers: Readers::new(now),
                waiters: Waiters::default(),
                task: None,
                is_full: false,
                options: None,
                failure: None,
                ended_at: None,
            }),
            counters,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub fn retain_bytes(&self) -> usize {
        self.retain_bytes.load(Relaxed)
    }

    pub(super) fn raise_retain_bytes(&self, bytes: usize) {
        self.retain_bytes.fetch_max(bytes, Relaxed);
    }

    pub(crate) fn max_event(&self) -> usize {
        max_event(self.retain_bytes())
    }

    pub fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Waits until `get` returns a value. Calls it again whenever the record has changed.
    pub(crate) async fn until<T>(&self, get: impl Fn() -> Option<T>) -> T {
        until(&self.changed, get).await
    }

    pub(crate) fn id_line(&self, sequence: u64) -> Vec<u8> {
        let mut line = Vec::with_capacity(40);
        RunEventId::new(&self.id_prefix, sequence).write_line(&mut line);
        line
    }

    /// Notes that the stream begins. Returns `false` if the run was no longer starting.
    pub(crate) fn begin(&self, options: Option<StreamOptions>) -> bool {
        {
            let mut state = self.lock();
            if state.phase != Phase::Starting {
                return false;
            }
            state.phase = Phase::Running;
            state.options = options.map(Box::new);
        }
        self.changed.notify_waiters();
        true
    }

    pub(crate) fn append(&self, cutter: &mut Cutter, bytes: &mut Bytes) -> Appended {
        let mut drops = DeferredDrops::default();
        let mut waiters = WakeList::None;
        let appended = {
            let mut state = self.lock();
            let before = state.newest;
            let appended = self.append_to(&mut state, cutter, bytes, &mut drops);
            if state.newest > before {
                waiters = state.waiters.take();
            }
            appended
        };
        waiters.wake();
        appended
    }

    fn append_to(
        &self,
        state: &mut State,
        cutter: &mut Cutter,
        bytes: &mut Bytes,
        drops: &mut DeferredDrops,
    ) -> Appended {
        let end = state.bytes + APPEND_LIMIT as u64;
        state.is_full = false;
        loop {
            if state.phase != Phase::Running {
                return Appended::Over;
            }
            if !cutter.is_complete() {
                match cutter.cut(bytes, self.max_event()) {
                    Ok(true) => {}
                    Ok(false) => return Appended::All,
                    Err(TooLarge) => return Appended::TooLarge,
                }
            }
            let id = RunEventId::new(&self.id_prefix, state.newest + 1);
            let len = cutter.event_len(id.len());
            if len > self.max_event() {
                return Appended::TooLarge;
            }
            let limit = self.retain_bytes();
            if !state.log.has_room(len, limit) {
                let up_to = state.readers.fastest().unwrap_or(u64::MAX);
                if !state.log.make_room(len, limit, up_to, drops) {
                    state.is_full = true;
                    return Appended::Full;
                }
            }
            let event = cutter.take(bytes, &id, state.bytes);
            state.newest += 1;
            state.bytes += len as u64;
            let newest = state.newest;
            state.log.append(newest, event, Duration::ZERO, Duration::ZERO, drops);
            if state.bytes >= end {
                return Appended::Some;
            }
        }
    }

    /// Appends a last event if the run is running. A run that is starting has no stream yet.
    pub(crate) fn append_last(&self, state: &mut State, lines: &[u8], drops: &mut DeferredDrops) {
        if state.phase == Phase::Running {
            let next = state.newest + 1;
            let bytes = [lines, &self.id_line(next)[..], b"\n"].concat().into();
            // Events that the fastest client has not read aren't evicted to make room.
            let read = state.readers.fastest().unwrap_or(u64::MAX);
            self.append_events(state, (next, next), &bytes, read, drops);
        }
    }

    /// Returns the run's messages, or `None` if the record lacks one of them.
    pub(crate) fn messages(&self) -> Option<Vec<Message>> {
        // No limit is needed, because an event can't be larger than the record.
        let mut decoder = Decoder::new().max_event_size(usize::MAX);
        let mut messages = Vec::new();
        let mut seen = 0;
        while seen < self.newest() {
            let (first, last, mut bytes) = self.next_batch(seen, CHUNK_SIZE)?;
            if first != seen + 1 {
                return None;
            }
            while let Ok(Some(message)) = decoder.decode(&mut bytes) {
                messages.push(message);
            }
            seen = last;
        }
        Some(messages)
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) is_lost: bool,
    /// Whether requests with the key no longer find the run.
    pub(crate) is_forgotten: bool,
    /// Whether a mirror has evicted events that the store may have.
    pub(crate) has_given_way: bool,
    pub(crate) log: Log,
    pub(crate) overhead: MemoryShare,
    pub(crate) newest: u64,
    /// The total size of all events on the wire, including evicted ones.
    pub(crate) bytes: u64,
    pub(crate) readers: Readers,
    pub(crate) waiters: Waiters,
    /// Wakes the run's task when there is room again or the run is over.
    pub(crate) task: Option<Waker>,
    pub(crate) is_full: bool,
    /// The handler's options that apply to every client's stream.
    pub(crate) options: Option<Box<StreamOptions>>,
    pub(crate) failure: Option<Failure>,
    pub(crate) ended_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The call has not answered yet.
    Starting,
    Running,
    /// The call was not made or did not return an event stream, so there is no run.
    Void,
    Ended(Outcome),
}

impl Phase {
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }

    /// Returns how the run ended, or `None` if it has not ended or has no event stream.
    pub(crate) const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            Self::Starting | Self::Running | Self::Void => None,
        }
    }

    /// Returns whether a client without an id joins the run. If not, the client starts another run.
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
            events: self.newest,
            bytes: self.bytes,
            age: now.saturating_duration_since(record.started_at),
        });
    }

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

#[derive(Debug)]
pub(crate) struct Readers {
    /// The sequence number up to which each client has read.
    positions: Slab<u64>,
    unattended_since: Instant,
}

impl Readers {
    fn new(now: Instant) -> Self {
        Self { positions: Slab::default(), unattended_since: now }
    }

    pub(crate) fn count(&self) -> usize {
        self.positions.len()
    }

    /// Returns when the last client stopped or will stop counting as attached, or `None` if this
    /// process has a client.
    pub(crate) fn unattended_since(&self) -> Option<Instant> {
        (self.count() == 0).then_some(self.unattended_since)
    }

    /// Counts a client of another process as attached until `time`.
    pub(crate) fn attend_until(&mut self, time: Instant) {
        self.unattended_since = self.unattended_since.max(time);
    }

    pub(crate) fn is_attended(&self, now: Instant) -> bool {
        self.count() > 0 || self.unattended_since > now
    }

    pub(crate) fn slowest(&self) -> Option<u64> {
        self.positions.iter().map(|(_, position)| *position).min()
    }

    pub(crate) fn add(&mut self, position: u64) -> usize {
        self.positions.insert(position)
    }

    pub(crate) fn remove(&mut self, index: usize) {
        self.positions.try_remove(index);
        if self.count() == 0 {
            self.positions = Slab::default();
            self.unattended_since = self.unattended_since.max(Instant::now());
        }
    }

    pub(crate) fn get(&self, index: usize) -> u64 {
        self.positions.get(index).copied().unwrap_or(u64::MAX)
    }

    pub(crate) fn set(&mut self, index: usize, position: u64) {
        if let Some(read) = self.positions.get_mut(index) {
            *read = position;
        }
    }

    fn fastest(&self) -> Option<u64> {
        self.positions.iter().map(|(_, position)| *position).max()
    }
}

/// Work for when all locks are released, because it runs code of the program or a runtime.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    pub(crate) drops: DeferredDrops,
    pub(crate) waiters: Vec<WakeList>,
    pub(crate) wakers: Vec<Waker>,
    /// The runs that ended, became void or were forgotten. The list can hold the last reference to
    /// such a run.
    pub(crate) changed: Vec<Arc<Record>>,
    pub(crate) ends: Vec<RunEnd>,
}

impl Deferred {
    /// Does the deferred work. Returns the reports of the runs that ended.
    pub(crate) fn wake(self) -> Vec<RunEnd> {
        for record in self.changed {
            record.changed.notify_waiters();
            // Dropping the program's closures can panic. No report in `ends` may be lost.
            without_panic(|| drop(record));
        }
        self.waiters.into_iter().for_each(WakeList::wake);
        self.wakers.into_iter().for_each(crate::wake::wake);
        self.ends
    }
}

/// Encodes an event without an id. Returns `None` if the event has neither name nor data, or could
/// exceed `limit` bytes on the wire with its id.
pub(crate) fn lines_of(event: Event, limit: usize) -> Option<Bytes> {
    let mut bytes = Encoded::from(event.dispatched()?).into();
    let mut cutter = Cutter::default();
    if !cutter.cut(&mut bytes, limit).ok()? || cutter.event_len(MAX_ID_LEN) > limit {
        return None;
    }
    let id = RunEventId::new("", 0);
    let mut event = cutter.take(&mut bytes, &id, 0);
    event.truncate(event.len().saturating_sub("id: \n\n".len() + id.len()));
    Some(event)
}

/// Waits until `get` returns a value. Calls `get` at once, and again after each notification.
pub(crate) async fn until<T>(changed: &Notify, get: impl Fn() -> Option<T>) -> T {
    loop {
        // Created before the state is read, so that no change is missed.
        let notified = changed.notified();
        if let Some(value) = get() {
            return value;
        }
        catching_wakes(notified).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MAX_ID_LEN, lines_of};
    use crate::event::Event;

    #[test]
    fn lines_are_those_that_a_run_records() {
        let event = Event::new().comment("no").event("usage").id(7).data("a\nb");
        let lines = lines_of(event.retry(Duration::from_secs(1)), usize::MAX).unwrap();
        assert_eq!(lines, "event: usage\ndata: a\ndata: b\nretry: 1000\n");
        assert_eq!(lines_of(Event::from("a"), usize::MAX).unwrap(), "data: a\n");
        // A browser wouldn't dispatch a name alone.
        assert_eq!(
            lines_of(Event::new().event("end"), usize::MAX).unwrap(),
            "event: end\ndata: \n"
        );
        assert_eq!(lines_of(Event::new().id(7), usize::MAX), None);
    }

    #[test]
    fn event_is_refused_if_it_exceeds_the_limit_with_its_id() {
        let len = "data: a\nid: \n\n".len() + MAX_ID_LEN;
        assert!(lines_of(Event::from("a"), len).is_some());
        assert!(lines_of(Event::from("a"), len - 1).is_none());
    }
}
