use std::{collections::BTreeMap, sync::Mutex};

use tokio::sync::Notify;
use tower_sse::hub::{PublishError, broker::support::lock};

use super::entry::Entry;

/// The maximum number of events in a batch.
const MAX_EVENTS: usize = 1000;
/// The size of the events at which a batch is full, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// The events that wait for the batch before them.
///
/// The publisher of each waits for it until a deadline, and then takes it out. So while no batch is
/// sent, the queue has no more events than there are publishers that wait.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Wakes the batcher.
    filled: Notify,
}

#[derive(Default)]
struct State {
    /// In the order of their arrival.
    entries: BTreeMap<u64, Entry>,
    /// The number of events that have arrived.
    arrivals: u64,
    /// Whether rows of the inbox wait to be numbered.
    inbox_waits: bool,
    is_closed: bool,
}

/// The place of an event in the queue. Dropping it takes the event out, unless it was sent.
pub(super) struct Place<'a> {
    queue: &'a Queue,
    number: u64,
}

impl Queue {
    /// Adds an event.
    pub(super) fn add(&self, entry: Entry) -> Place<'_> {
        let mut state = lock(&self.state);
        let number = state.arrivals;
        state.arrivals += 1;
        if state.is_closed {
            drop(state);
            entry.answer(Err(PublishError::Closed));
        } else {
            state.entries.insert(number, entry);
            drop(state);
            self.filled.notify_one();
        }
        Place { queue: self, number }
    }

    /// Requests that the rows of the inbox are numbered.
    pub(crate) fn number_inbox(&self) {
        lock(&self.state).inbox_waits = true;
        self.filled.notify_one();
    }

    /// Waits until there is something to send. Only the batcher waits.
    pub(super) async fn filled(&self) {
        let is_empty = || {
            let state = lock(&self.state);
            state.entries.is_empty() && !state.inbox_waits
        };
        while is_empty() {
            self.filled.notified().await;
        }
    }

    /// Takes the events of the next batch out of the queue.
    pub(super) fn take_batch(&self) -> Vec<Entry> {
        let mut state = lock(&self.state);
        state.inbox_waits = false;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < MAX_EVENTS
            && bytes < MAX_BYTES
            && let Some((_, entry)) = state.entries.pop_first()
        {
            bytes += entry.size();
            batch.push(entry);
        }
        batch
    }

    /// Answers the events that wait, and those that follow, that the hub is closed.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let entries = std::mem::take(&mut state.entries);
        drop(state);
        for entry in entries.into_values() {
            entry.answer(Err(PublishError::Closed));
        }
    }
}

impl Place<'_> {
    /// Takes the event out of the queue. Returns `false` if it is no longer there.
    pub(super) fn leave(&self) -> bool {
        let entry = lock(&self.queue.state).entries.remove(&self.number);
        entry.is_some()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
