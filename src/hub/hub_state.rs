use std::{sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::Instant;

use super::topic::{Topic, TopicState, Topics};
use super::{HubStats, link::Link, losses::Losses};
use crate::history::sync::Ordering::{Acquire, Release};
use crate::history::sync::{AtomicBool, AtomicU64, Mutex, lock};
use crate::history::{Epoch, Position};

/// The value of a hub's clock at its creation. It is not zero, so that events from a broker can be
/// older than the hub.
const ORIGIN: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The state that all clones of a hub and its subscriptions share.
pub(crate) struct HubState {
    pub(crate) epoch: Epoch,
    /// The start of all ids: the epoch and a hyphen.
    pub(super) id_prefix: String,
    pub(crate) topics: Topics,
    /// The newest committed sequence number: readers can read all events up to it. `append`
    /// advances it while the topic is locked, so a reader that finds an event in its topic also
    /// finds it committed.
    pub(super) committed: AtomicU64,
    /// The losses that a broker reported. Added while `newest` is locked, so that no later event
    /// commits first.
    pub(crate) losses: Losses,
    closed: AtomicBool,
    /// The newest sequence number of all topics. Lock order: a topic's lock is taken before this
    /// one.
    pub(super) newest: Mutex<u64>,
    started: Instant,
    /// The connection to a broker, if the hub has one.
    pub(crate) link: Option<Link>,
    /// The number of gaps that were sent. A std atomic even under loom, because the models do not
    /// depend on its ordering.
    gaps: std::sync::atomic::AtomicU64,
}

impl HubState {
    pub(crate) fn new(epoch: Epoch, topics: Topics, link: Option<Link>) -> Self {
        Self {
            epoch,
            id_prefix: format!("{epoch}-"),
            topics,
            committed: AtomicU64::new(0),
            losses: Losses::default(),
            closed: AtomicBool::new(false),
            newest: Mutex::default(),
            started: Instant::now(),
            link,
            gaps: std::sync::atomic::AtomicU64::new(0),
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

    /// Returns whether this process knows that the topic has ended and that its name is not free.
    pub(crate) fn has_ended(&self, name: &str) -> bool {
        let (end, _) = self.topics.end_and_subscribers(name);
        end.is_some_and(|end| self.now() < end.free_here)
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
            link.closed.cancel();
        }
        self.wake_all();
    }

    /// Wakes the subscribers of all topics.
    pub(super) fn wake_all(&self) {
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
