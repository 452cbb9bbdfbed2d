use std::{sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::Instant;

use super::changes::Changes;
use super::link::{Arrival, Link};
use super::topic::{Topic, TopicEnd, TopicState, Topics};
use super::{GapReason, HubStats, PublishError, Receipt, losses::Losses};
use crate::callback::without_panic;
use crate::event::Event;
use crate::history::{DeferredDrops, Epoch, Position, WakeList};
use crate::sync::Ordering::{Acquire, Release};
use crate::sync::{AtomicBool, AtomicU64, Mutex, lock};

/// The value of a new hub's clock. It's above zero, because a broker's events can be older than the
/// hub.
const ORIGIN: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The name of a gap's event, both when it is published and when it is sent to a client.
pub(super) const GAP: &str = "gap";

pub(crate) struct HubState {
    pub(crate) epoch: Epoch,
    /// The start of all ids: the epoch and a hyphen.
    pub(super) id_prefix: String,
    pub(crate) topics: Topics,
    /// The newest committed sequence number: readers can read all events up to it. `append`
    /// advances it while the topic is locked, so an event in its topic's log is always committed.
    pub(super) committed: AtomicU64,
    /// The losses that a broker reported. Added under the lock of `newest`, before later events
    /// commit.
    pub(crate) losses: Losses,
    pub(crate) changes: Changes,
    closed: AtomicBool,
    /// The newest sequence number of any event or loss. Lock order: a topic's lock comes first.
    pub(super) newest: Mutex<u64>,
    started: Instant,
    pub(crate) link: Option<Link>,
    /// The number of gaps that were sent for each reason. These are std's atomics even under loom,
    /// whose models don't check them.
    gaps: [std::sync::atomic::AtomicU64; GapReason::ALL.len()],
}

impl HubState {
    pub(crate) fn new(epoch: Epoch, topics: Topics, link: Option<Link>) -> Self {
        Self {
            epoch,
            id_prefix: format!("{epoch}-"),
            topics,
            committed: AtomicU64::new(0),
            losses: Losses::default(),
            changes: Changes::new(),
            closed: AtomicBool::new(false),
            newest: Mutex::default(),
            started: Instant::now(),
            link,
            gaps: Default::default(),
        }
    }

    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Acquire)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    pub(crate) const fn position(&self, sequence: u64) -> Position {
        Position { epoch: self.epoch, sequence }
    }

    /// Returns the highest sequence number that a client may have received from any process.
    pub(crate) fn newest_possible(&self) -> u64 {
        let committed = self.committed();
        self.link.as_ref().map_or(committed, |link| committed.max(link.newest_possible(committed)))
    }

    pub(crate) fn now(&self) -> Duration {
        // loom replays executions, so the clock must not differ between them.
        if cfg!(tower_sse_loom) { ORIGIN } else { ORIGIN + self.started.elapsed() }
    }

    pub(crate) fn change_topic<R>(
        &self,
        name: &str,
        mut change: impl FnMut(&Arc<Topic>, &mut TopicState) -> R,
    ) -> (Arc<Topic>, R) {
        loop {
            let topic = self.topics.get_or_add(name);
            let changed = self.topics.change(&topic, |state| change(&topic, state));
            if let Some(changed) = changed {
                return (topic, changed);
            }
        }
    }

    pub(crate) fn has_ended(&self, name: &str) -> bool {
        let (end, _) = self.topics.end_and_subscribers(name);
        end.is_some_and(|end| self.now() < end.free_here)
    }

    pub(crate) fn count_gaps(&self, reason: GapReason, gaps: usize) {
        if let Some(count) = self.gaps.get(reason as usize) {
            count.fetch_add(gaps as u64, Relaxed);
        }
    }

    pub(crate) fn close(&self) {
        {
            // With this lock held, a concurrent publish either commits before the close or fails.
            let _newest = lock(&self.newest);
            self.closed.store(true, Release);
        }
        if let Some(link) = &self.link {
            // A waker can panic here. The subscriptions must still be woken.
            without_panic(|| link.closed.cancel());
        }
        self.wake_all();
    }

    fn wake_all(&self) {
        for topic in self.topics.all() {
            let waiters = topic.take_waiters(&mut topic.lock());
            if !waiters.is_empty() {
                self.changes.add_all();
            }
            waiters.wake();
        }
    }

    pub(crate) fn stats(&self) -> HubStats {
        let gaps = GapReason::ALL.iter().zip(&self.gaps);
        let gaps: Vec<_> = gaps.map(|(reason, gaps)| (*reason, gaps.load(Relaxed))).collect();
        HubStats {
            memory: self.topics.memory.total(),
            gaps: gaps.iter().map(|(_, gaps)| gaps).sum(),
            gaps_by_reason: gaps,
            lag: self.link.as_ref().map(Link::lag),
            ..self.topics.stats()
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAppended {
    Closed,
    /// The hub has this sequence number already, or a later one.
    Stale,
    Ended,
}

impl HubState {
    #[inline]
    pub(crate) fn publish(
        &self,
        name: &str,
        event: &Event,
        ends_topic: bool,
    ) -> Result<Receipt, PublishError> {
        self.append(name, event, ends_topic, None).map_err(|error| match error {
            NotAppended::Ended => PublishError::Ended,
            // The next sequence number is never stale.
            NotAppended::Closed | NotAppended::Stale => PublishError::Closed,
        })
    }

    /// Appends an event, or a gap if the event is named `gap`. A broker's event has an `arrival`.
    pub(crate) fn append(
        &self,
        name: &str,
        event: &Event,
        ends_topic: bool,
        arrival: Option<Arrival>,
    ) -> Result<Receipt, NotAppended> {
        if self.is_closed() {
            return Err(NotAppended::Closed);
        }
        let mut block = event.encode_open(self.id_prefix.len());
        let now = self.now();
        let assigned = arrival.map(|arrival| arrival.sequence);
        // The time of publication, by this process's clock and by the broker's.
        let (here, at) =
            arrival.map_or((now, now), |Arrival { age, at, .. }| (now.saturating_sub(age), at));
        let is_gap = event.fields().name == Some(GAP);
        let mut drops = DeferredDrops::default();
        let (_, appended) = self.change_topic(name, |topic, state| {
            let sequence = assigned.unwrap_or(u64::MAX);
            if state.end.as_ref().is_some_and(|end| self.drops_after(end, sequence, at)) {
                return Err(self.drop_ended(assigned));
            }
            self.commit(topic, state, assigned).map(|(sequence, waiters)| {
                // The event is committed before it is in the log, but readers of the topic wait for
                // the topic's lock.
                if is_gap {
                    state.log.add_gap(sequence);
                } else {
                    let bytes = block.end_with_id(&self.id_prefix, sequence);
                    state.log.append(sequence, bytes, here, now, &mut drops);
                }
                topic.set_end(state, ends_topic.then(|| self.end(sequence, here, at)));
                (sequence, state.subscribers as usize, waiters)
            })
        });
        let (sequence, subscribers, waiters) = appended?;
        waiters.wake();
        self.topics.evict(now, &mut drops);
        Ok(Receipt { position: self.position(sequence), subscribers })
    }

    fn end(&self, sequence: u64, here: Duration, at: Duration) -> TopicEnd {
        let retained = self.topics.retention.of_ended();
        TopicEnd {
            sequence,
            free_at: at.saturating_add(retained),
            free_here: here.saturating_add(retained),
        }
    }

    /// Returns whether an event published at the time `at` is dropped because its topic has ended.
    /// If a loss lies between the end and the event, the event is kept: the process that published
    /// the event may have lost the end.
    pub(super) fn drops_after(&self, end: &TopicEnd, sequence: u64, at: Duration) -> bool {
        let loss = self.losses.first_after(end.sequence);
        end.sequence < sequence && at < end.free_at && loss.is_none_or(|loss| loss > sequence)
    }

    /// Commits a sequence number. The caller holds the topic's lock until it has appended the
    /// event.
    fn commit(
        &self,
        topic: &Topic,
        state: &mut TopicState,
        assigned: Option<u64>,
    ) -> Result<(u64, WakeList), NotAppended> {
        let mut newest = lock(&self.newest);
        *newest = self.following(*newest, assigned)?;
        topic.set_newest(*newest);
        let waiters = topic.take_waiters(state);
        // Added first, so that readers of the new committed number find the change.
        self.changes.add(topic);
        self.committed.store(*newest, Release);
        Ok((*newest, waiters))
    }

    fn following(&self, newest: u64, assigned: Option<u64>) -> Result<u64, NotAppended> {
        if self.is_closed() {
            return Err(NotAppended::Closed);
        }
        let following = assigned.unwrap_or(newest + 1);
        if following > newest { Ok(following) } else { Err(NotAppended::Stale) }
    }

    #[cold]
    fn drop_ended(&self, assigned: Option<u64>) -> NotAppended {
        match assigned.map(|sequence| self.advance(sequence, |_| ())) {
            Some(Err(error)) => error,
            Some(Ok(())) | None => NotAppended::Ended,
        }
    }

    /// Records a loss. Returns an error if the hub is closed or has already reached `sequence`.
    pub(crate) fn record_loss(&self, sequence: u64) -> Result<(), NotAppended> {
        self.advance(sequence, |sequence| self.losses.add(sequence))?;
        self.wake_all();
        Ok(())
    }

    /// Commits `sequence` and calls `record` before a later event can commit.
    fn advance(&self, sequence: u64, record: impl FnOnce(u64)) -> Result<(), NotAppended> {
        let mut newest = lock(&self.newest);
        *newest = self.following(*newest, Some(sequence))?;
        self.committed.store(sequence, Release);
        record(sequence);
        Ok(())
    }
}
