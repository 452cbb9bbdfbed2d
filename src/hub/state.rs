use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    HubStats, PublishError, Receipt,
    broker::{Arrival, Link, Losses},
    faults::Fault,
    topic::{Topic, TopicEnd, TopicState, Topics},
};
use crate::{
    event::Event,
    history::{
        DeferredDrops, Epoch, Position,
        sync::{AtomicBool, AtomicU64, Mutex, Ordering::Acquire, Ordering::Release, lock},
    },
};

/// The value of a hub's clock at its creation. It is not zero, so that events from a broker can be
/// older than the hub.
const ORIGIN: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The state that all clones of a hub and its subscriptions share.
pub(crate) struct HubState {
    pub(crate) epoch: Epoch,
    /// The start of all ids: the epoch and a hyphen.
    id_prefix: String,
    pub(crate) topics: Topics,
    /// The newest committed sequence number: readers can read all events up to it. `append`
    /// advances it while the topic is locked, so a reader that finds an event in its topic also
    /// finds it committed.
    committed: AtomicU64,
    /// The losses that a broker reported. Added while `newest` is locked, so that no later event
    /// commits first.
    pub(crate) losses: Losses,
    closed: AtomicBool,
    /// The newest sequence number of all topics. Lock order: a topic's lock is taken before this
    /// one.
    newest: Mutex<u64>,
    started: Instant,
    /// The connection to a broker, if the hub has one.
    link: Option<Link>,
    /// The number of gaps that were sent. A std atomic even under loom, because the models do not
    /// depend on its ordering.
    gaps: std::sync::atomic::AtomicU64,
    pub(crate) fault: Fault,
}

/// The sequence number of an event to append.
#[derive(Clone, Copy, Debug)]
enum Sequence {
    /// The next one, in a hub that assigns sequence numbers itself.
    Next,
    /// The one that a broker has assigned.
    Assigned(u64),
}

/// The time at which an event was published.
#[derive(Clone, Copy, Debug)]
struct Published {
    /// By the clock of this process.
    here: Duration,
    /// By the clock of the broker, or of this process if the hub has none.
    at: Duration,
}

impl Published {
    /// Returns the end of a topic whose last event was published at this time.
    const fn end(self, sequence: u64, retained: Duration) -> TopicEnd {
        TopicEnd {
            sequence,
            free_at: self.at.saturating_add(retained),
            free_here: self.here.saturating_add(retained),
        }
    }
}

/// The reason an event was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAppended {
    Closed,
    /// The hub has this sequence number already, or a later one.
    Stale,
    /// The topic had ended before.
    Ended,
}

/// An event that was appended to its topic.
struct Appended {
    sequence: u64,
    subscribers: usize,
}

impl HubState {
    pub(crate) fn new(epoch: Epoch, topics: Topics, link: Option<Link>, fault: Fault) -> Self {
        Self {
            epoch,
            id_prefix: format!("{epoch}-"),
            topics,
            committed: AtomicU64::new(0),
            losses: Losses::new(),
            closed: AtomicBool::new(false),
            newest: Mutex::default(),
            started: Instant::now(),
            link,
            gaps: std::sync::atomic::AtomicU64::new(0),
            fault,
        }
    }

    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Acquire)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    pub(crate) const fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    pub(crate) const fn position(&self, sequence: u64) -> Position {
        Position { epoch: self.epoch, sequence }
    }

    /// Returns the highest sequence number that a client may have received by now, in this process
    /// or in another one that is connected to the same broker.
    pub(crate) fn newest_possible(&self) -> u64 {
        let committed = self.committed();
        self.link.as_ref().map_or(committed, |link| committed.max(link.newest_possible(committed)))
    }

    /// Returns the time of the hub's clock, which starts at [`ORIGIN`].
    pub(crate) fn now(&self) -> Duration {
        // loom replays executions, so the clock must not differ between them.
        if cfg!(tower_sse_loom) { ORIGIN } else { ORIGIN + self.started.elapsed() }
    }

    /// [Changes](Topics::change) the topic with this name, which is created if necessary.
    pub(crate) fn change_topic<R>(
        &self,
        name: &str,
        mut change: impl FnMut(&Arc<Topic>, &mut TopicState) -> R,
    ) -> R {
        loop {
            let topic = self.topics.get_or_add(name);
            let changed = self.topics.change(&topic, |state| change(&topic, state));
            if let Some(changed) = changed {
                return changed;
            }
        }
    }

    /// Publishes an event in a hub without a broker.
    #[inline]
    pub(crate) fn publish(
        &self,
        name: &str,
        event: &Event,
        is_last: bool,
    ) -> Result<Receipt, PublishError> {
        match self.append(name, event, Sequence::Next, Duration::ZERO, None, is_last) {
            Ok(Appended { sequence, subscribers }) => {
                Ok(Receipt { position: self.position(sequence), subscribers })
            }
            Err(NotAppended::Ended) => Err(PublishError::Ended),
            // The next sequence number is never stale.
            Err(NotAppended::Closed | NotAppended::Stale) => Err(PublishError::Closed),
        }
    }

    /// Returns whether this process knows that the topic has ended and that its name is not free.
    pub(crate) fn has_ended(&self, name: &str) -> bool {
        self.topics.end_of(name).is_some_and(|end| self.now() < end.free_here)
    }

    /// Appends an event that came from a broker.
    pub(crate) fn receive(
        &self,
        Arrival { sequence, age, at, is_last }: Arrival,
        name: &str,
        event: &Event,
    ) -> Result<(), NotAppended> {
        self.append(name, event, Sequence::Assigned(sequence), age, Some(at), is_last).map(drop)
    }

    fn append(
        &self,
        name: &str,
        event: &Event,
        sequence: Sequence,
        age: Duration,
        at: Option<Duration>,
        is_last: bool,
    ) -> Result<Appended, NotAppended> {
        if self.is_closed() {
            return Err(NotAppended::Closed);
        }
        let mut block = event.encode_open(self.id_prefix.len());
        let now = self.now();
        let published = Published { here: now.saturating_sub(age), at: at.unwrap_or(now) };
        let mut drops = DeferredDrops::default();
        let appended = self.change_topic(name, |topic, state| {
            if state.end().is_some_and(|end| published.at < end.free_at) {
                return Err(self.drop_ended(sequence));
            }
            self.commit(topic, sequence).map(|sequence| {
                // The event is committed before it is in the log, but readers of the topic wait for
                // its lock.
                let bytes = block.end_with_id(&self.id_prefix, sequence);
                state.log.append(sequence, bytes, published.here, now, &mut drops);
                let retained = self.topics.retained_for();
                topic.set_end(state, is_last.then(|| published.end(sequence, retained)));
                (sequence, state.subscribers, topic.take_waiters(state))
            })
        });
        let (sequence, subscribers, waiters) = appended?;
        if self.fault.commits_after_unlock() {
            self.committed.fetch_max(sequence, Release);
        }
        waiters.wake();
        self.topics.evict(now, &mut drops);
        Ok(Appended { sequence, subscribers })
    }

    /// Commits an event of `topic` and returns its sequence number. The caller holds the lock of
    /// `topic`, and appends the event before releasing it.
    fn commit(&self, topic: &Topic, sequence: Sequence) -> Result<u64, NotAppended> {
        let mut newest = lock(&self.newest);
        if self.is_closed() {
            return Err(NotAppended::Closed);
        }
        *newest = match sequence {
            Sequence::Next => *newest + 1,
            Sequence::Assigned(sequence) if sequence > *newest => sequence,
            Sequence::Assigned(_) => return Err(NotAppended::Stale),
        };
        topic.set_newest(*newest);
        if !self.fault.commits_after_unlock() {
            self.committed.store(*newest, Release);
        }
        Ok(*newest)
    }

    /// Passes an event of a topic that had ended before, which no subscriber receives.
    #[cold]
    fn drop_ended(&self, sequence: Sequence) -> NotAppended {
        let mut newest = lock(&self.newest);
        if let Sequence::Assigned(sequence) = sequence {
            if sequence <= *newest {
                return NotAppended::Stale;
            }
            *newest = sequence;
            self.committed.store(sequence, Release);
        }
        NotAppended::Ended
    }

    /// Records that each topic may have lost events up to `sequence`, and wakes all subscribers.
    pub(crate) fn record_loss(&self, sequence: u64) -> Result<(), NotAppended> {
        {
            let mut newest = lock(&self.newest);
            if self.is_closed() {
                return Err(NotAppended::Closed);
            }
            // The hub has received all events up to `sequence`, so none is lost.
            if sequence <= *newest {
                return Err(NotAppended::Stale);
            }
            *newest = sequence;
            self.committed.store(sequence, Release);
            self.losses.add(sequence);
        }
        self.wake_all();
        Ok(())
    }

    pub(crate) fn count_gaps(&self, gaps: usize) {
        self.gaps.fetch_add(gaps as u64, Relaxed);
    }

    pub(crate) fn close(&self) {
        {
            // With this lock held, a concurrent publish either completes before the close or fails.
            let _newest = lock(&self.newest);
            self.closed.store(true, Release);
        }
        if let Some(link) = &self.link {
            link.close();
            link.arrivals.arrived(u64::MAX);
        }
        self.wake_all();
    }

    fn wake_all(&self) {
        for topic in self.topics.all() {
            let waiters = topic.take_waiters(&mut topic.lock());
            waiters.wake();
        }
    }

    pub(crate) fn stats(&self) -> HubStats {
        HubStats {
            memory: self.topics.memory.total(),
            gaps: self.gaps.load(Relaxed),
            lag: self.link.as_ref().map(Link::lag),
            ..self.topics.stats()
        }
    }
}
