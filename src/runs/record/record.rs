use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use super::{
    cutter::{Cutter, TooLarge},
    id::Id,
    readers::Readers,
    state::{Phase, State},
};
use crate::{
    history::{
        DeferredDrops, Epoch, Evicted, Limits, Log, MemoryShare, Waiters, WakeList,
        sync::{Mutex, MutexGuard, lock},
    },
    options::StreamOptions,
    runs::{
        Outcome, RunKey,
        counters::Counters,
        options::Options,
        overhead::{RUN_OVERHEAD, TASK_OVERHEAD, max_event},
        until::until,
    },
};

/// The number of bytes after which [`Record::append`] returns. The last event may exceed it.
const APPEND_LIMIT: usize = 16 * 1024;

/// One run: its phase, the log of its events, and its clients.
#[derive(Debug)]
pub struct Record {
    pub key: RunKey,
    /// The unique first part of the run's ids.
    pub epoch: Epoch,
    id_prefix: Box<str>,
    pub(crate) started_at: Instant,
    pub(super) retain_bytes: usize,
    pub(crate) counters: Arc<Counters>,
    /// Notified when the phase changes, or a mirror gets events.
    pub(super) changed: Notify,
    state: Mutex<State>,
}

/// The result of [`Record::append`].
#[derive(Debug)]
pub(crate) enum Appended {
    /// All bytes are recorded, except for an incomplete event.
    All,
    /// [`APPEND_LIMIT`] is reached. The caller appends the rest with another call, so that other
    /// tasks can take the lock in between.
    Some,
    /// There is no room until the fastest client has read more events.
    Full,
    TooLarge,
    /// The run is over.
    Over,
}

impl Record {
    pub(crate) fn new(
        key: RunKey,
        epoch: Epoch,
        options: &Options,
        counters: Arc<Counters>,
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
            retain_bytes: options.max_record(),
            changed: Notify::new(),
            state: Mutex::new(State {
                phase: Phase::Starting,
                is_lost: false,
                is_forgotten: false,
                has_given_way: false,
                log: Log::new(limits, 0, evicted, Arc::clone(&counters.memory)),
                overhead,
                newest: 0,
                unassigned: 0,
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

    /// Returns the maximum memory of the kept events.
    pub const fn retain_bytes(&self) -> usize {
        self.retain_bytes
    }

    /// Returns the maximum size of an event on the wire.
    pub(crate) const fn max_event(&self) -> usize {
        max_event(self.retain_bytes)
    }

    pub fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Waits until `get` returns a value, which can change with the phase or a mirror's events.
    pub async fn until<T>(&self, get: impl Fn() -> Option<T>) -> T {
        until(&self.changed, get).await
    }

    /// Waits until the run has ended. Returns `None` if the call did not return an event stream.
    pub(crate) async fn until_ended(&self) -> Option<Outcome> {
        let ended = || Some(self.phase()).filter(|phase| !phase.is_live());
        self.until(ended).await.outcome()
    }

    /// Writes the id of an event as a line.
    pub(crate) fn id_line(&self, sequence: u64) -> Vec<u8> {
        let mut line = Vec::with_capacity(40);
        Id::new(&self.id_prefix, sequence).write_line(&mut line);
        line
    }

    /// Starts recording the call's answer. Returns `false` if the run has already ended.
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

    /// Appends the events in `bytes`, as far as there is room.
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
            let id = Id::new(&self.id_prefix, state.newest + 1);
            let len = cutter.event_len(id.len());
            if len > self.max_event() {
                return Appended::TooLarge;
            }
            if !state.log.has_room(len, self.retain_bytes) {
                let up_to = state.readers.fastest().unwrap_or(u64::MAX);
                if !state.log.make_room(len, self.retain_bytes, up_to, drops) {
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
}
