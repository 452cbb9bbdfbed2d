use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use super::topic::{ByAge, ByMemory, Evictable, EvictionPlace, Topic, TopicState, nanoseconds};
use crate::lock::lock;

/// The topics that keep events, in the order of eviction.
///
/// A topic's place is too early once the topic has evicted its oldest event. A move at each
/// eviction would cost more than appending an event, so [`settle`](Self::settle) and
/// [`settle_by_memory`](Self::settle_by_memory) correct the place when the topic's turn comes.
///
/// Lock order: a topic's lock comes before the lock of `order`, which comes last.
#[derive(Debug)]
pub(crate) struct EvictionQueue {
    // This is the standard library's lock even under loom, whose models don't check the queue.
    order: std::sync::Mutex<Order>,
    /// The earliest time in `by_age`, so that a publish before that time needn't lock `order` to
    /// look for old events.
    next_due: AtomicU64,
}

#[derive(Debug, Default)]
struct Order {
    by_memory: BTreeMap<ByMemory, Arc<Topic>>,
    by_age: BTreeMap<ByAge, Arc<Topic>>,
}

impl EvictionQueue {
    pub(super) const fn new() -> Self {
        let order = Order { by_memory: BTreeMap::new(), by_age: BTreeMap::new() };
        Self { order: std::sync::Mutex::new(order), next_due: AtomicU64::new(u64::MAX) }
    }

    /// Adds, moves or removes a topic after a change, unless its place is right or too early.
    #[inline]
    pub(crate) fn update(&self, topic: &Arc<Topic>, state: &mut TopicState) {
        let is_too_late = match (Evictable::of(&state.log), &state.place) {
            (Some(evictable), Some(place)) => evictable < place.by_memory.0,
            (evictable, place) => evictable.is_some() != place.is_some(),
        };
        if is_too_late {
            self.settle_by_memory(topic, state);
        }
    }

    /// Gives a topic its exact place, by memory and by age.
    pub(super) fn settle(&self, topic: &Arc<Topic>, state: &mut TopicState) {
        self.place(topic, state, EvictionPlace::of(&state.log));
    }

    /// Gives a topic its exact place by memory. Its place by age stays and can be too early.
    #[cold]
    pub(super) fn settle_by_memory(&self, topic: &Arc<Topic>, state: &mut TopicState) {
        let by_age = state.place.map(|place| place.by_age);
        let place = EvictionPlace::of(&state.log)
            .map(|exact| EvictionPlace { by_age: by_age.unwrap_or(exact.by_age), ..exact });
        self.place(topic, state, place);
    }

    fn place(&self, topic: &Arc<Topic>, state: &mut TopicState, place: Option<EvictionPlace>) {
        let former = mem::replace(&mut state.place, place);
        let by_memory = |place: Option<EvictionPlace>| place.map(|place| place.by_memory);
        let by_age = |place: Option<EvictionPlace>| place.map(|place| place.by_age);
        let mut order = lock(&self.order);
        displace(&mut order.by_memory, by_memory(former), by_memory(place), topic);
        if by_age(former) != by_age(place) {
            displace(&mut order.by_age, by_age(former), by_age(place), topic);
            let next_due = order.by_age.first_key_value().map_or(u64::MAX, |((due, _), _)| *due);
            self.next_due.store(next_due, Relaxed);
        }
    }

    pub(super) fn first_by_memory(&self) -> Option<(Arc<Topic>, ByMemory)> {
        const END: ByMemory = (Evictable::Nothing, 0);
        let order = lock(&self.order);
        let mut topics = order.by_memory.range(..END);
        let (_, first) = topics.next()?;
        Some((Arc::clone(first), topics.next().map_or(END, |(place, _)| *place)))
    }

    #[inline]
    pub(super) fn may_be_due(&self, now: Duration) -> bool {
        nanoseconds(now) > self.next_due.load(Relaxed)
    }

    pub(super) fn first_due(&self, now: Duration) -> Option<Arc<Topic>> {
        let order = lock(&self.order);
        let ((due, _), topic) = order.by_age.first_key_value()?;
        (nanoseconds(now) > *due).then(|| Arc::clone(topic))
    }
}

fn displace<K: Ord>(
    order: &mut BTreeMap<K, Arc<Topic>>,
    from: Option<K>,
    to: Option<K>,
    topic: &Arc<Topic>,
) {
    if from == to {
        return;
    }
    if let Some(from) = from {
        order.remove(&from);
    }
    if let Some(to) = to {
        order.insert(to, Arc::clone(topic));
    }
}
