//! A hub as simple as possible: a list of all events ever published. It asks the hub which of them
//! are kept, and checks that the limits and the documented order of eviction allow that.

use crate::*;

pub(crate) const TOPICS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A memory limit that no run of the model reaches.
pub(crate) const AMPLE_MEMORY: usize = 1 << 26;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    /// In milliseconds.
    pub(crate) age: u64,
    pub(crate) memory: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) topic: usize,
    pub(crate) sequence: u64,
    /// In bytes on the wire.
    pub(crate) size: usize,
    /// In milliseconds.
    pub(crate) at: u64,
    pub(crate) evicted: bool,
}

/// What a hub receives.
#[derive(Clone, Debug)]
pub(crate) enum Received {
    Event(Published),
    /// Each topic may have lost events up to this sequence number.
    Loss(u64),
}

#[derive(Debug)]
pub(crate) struct Naive {
    limits: Limits,
    events: Vec<Published>,
    /// The newest sequence number of an event or a loss.
    pub(crate) newest: u64,
    /// The sequence numbers of all losses.
    pub(crate) losses: Vec<u64>,
    pub(crate) subscribers: [usize; TOPICS.len()],
    /// In milliseconds.
    pub(crate) now: u64,
}

impl Naive {
    pub(crate) fn new(limits: Limits) -> Self {
        let subscribers = Default::default();
        Self { limits, events: Vec::new(), newest: 0, losses: Vec::new(), subscribers, now: 0 }
    }

    pub(crate) fn in_topic(&self, topic: usize) -> impl DoubleEndedIterator<Item = &Published> {
        self.events.iter().filter(move |event| event.topic == topic)
    }

    pub(crate) fn kept(&self, topic: usize) -> impl DoubleEndedIterator<Item = &Published> {
        self.in_topic(topic).filter(|event| !event.evicted)
    }

    /// Returns the sequence number of the newest evicted event of a topic.
    pub(crate) fn evicted_up_to(&self, topic: usize) -> u64 {
        let evicted = self.in_topic(topic).rev().find(|event| event.evicted);
        evicted.map_or(0, |event| event.sequence)
    }

    /// Records what the hub has received. It has evicted old events of all topics by then.
    pub(crate) fn receive(&mut self, hub: &Hub, received: &[Received]) {
        for received in received {
            match received {
                Received::Event(event) => {
                    self.newest = event.sequence;
                    self.events.push(event.clone());
                }
                Received::Loss(sequence) => {
                    self.newest = *sequence;
                    self.losses.push(*sequence);
                }
            }
        }
        let evicted: Vec<_> =
            (0..TOPICS.len()).flat_map(|topic| self.observe(hub, topic)).collect();
        assert!(evicted.is_empty() || self.limits.memory < AMPLE_MEMORY, "evicted without need");
        let size: usize =
            (0..TOPICS.len()).flat_map(|topic| self.kept(topic)).map(|e| e.size).sum();
        assert!(size <= self.limits.memory, "more is kept than the memory limit allows");
        // An event above the limit evicts only its own topic.
        if let [Received::Event(event)] = received {
            let rank = |event: &Published| {
                let newest = self.in_topic(event.topic).next_back().unwrap().sequence;
                (event.sequence == newest, event.sequence)
            };
            let last = evicted.iter().filter(|other| other.topic != event.topic).map(rank).max();
            let first = self.events.iter().filter(|event| !event.evicted).map(rank).min();
            assert!(first.is_none() || last < first, "{last:?} is evicted before {first:?}");
        }
    }

    /// Records a new subscriber, for which the hub has evicted old events of the topic.
    pub(crate) fn subscribe(&mut self, hub: &Hub, topic: usize) {
        self.subscribers[topic] += 1;
        assert!(self.observe(hub, topic).is_empty(), "evicted without need");
    }

    /// Asks the hub which events of a topic it keeps. Returns those that it has evicted although the
    /// topic's own limits allow them.
    fn observe(&mut self, hub: &Hub, topic: usize) -> Vec<Published> {
        let allowed = self.allowed(topic);
        let name = TOPICS[topic];
        // A subscription would create the topic.
        let exists = hub.topics().iter().any(|topic| **topic == *name);
        let messages = if exists { resumed(hub, &[name], 0).messages() } else { Vec::new() };
        let events = messages.iter().filter(|message| message.event != "gap");
        let kept: Vec<_> = events.map(|event| sequence(&event.last_event_id)).collect();
        assert!(allowed.ends_with(&kept), "{kept:?} are kept, of {allowed:?}");
        for event in self.events.iter_mut().filter(|event| event.topic == topic) {
            event.evicted = !kept.contains(&event.sequence);
        }
        let is_lost = |event: &&Published| {
            event.evicted && event.topic == topic && allowed.contains(&event.sequence)
        };
        self.events.iter().filter(is_lost).cloned().collect()
    }

    /// Returns the newest kept events that the topic's own limits allow, in order.
    fn allowed(&self, topic: usize) -> Vec<u64> {
        let Limits { events, bytes, age, .. } = self.limits;
        let mut size = 0;
        let mut allowed = Vec::new();
        for event in self.kept(topic).rev() {
            size += event.size;
            let is_newest = allowed.is_empty();
            let is_too_large = size > bytes && !is_newest;
            if allowed.len() == events || is_too_large || self.now - event.at > age {
                break;
            }
            allowed.push(event.sequence);
        }
        allowed.reverse();
        allowed
    }

    /// Returns the position before the newest `count` events of these topics.
    pub(crate) fn before_recent(&self, topics: &[usize], count: usize) -> u64 {
        let kept = self.events.iter().rev();
        let recent =
            kept.filter(|event| topics.contains(&event.topic) && !event.evicted).take(count);
        recent.last().map_or(self.newest, |event| event.sequence - 1)
    }
}
