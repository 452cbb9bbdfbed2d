//! A hub as plain as can be: a list of all events ever. It knows nothing of how the crate keeps them, only
//! the rules by which it lets go of them.

pub(crate) const TOPICS: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) age: u64,
    pub(crate) in_all: usize,
}

#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) topic: usize,
    pub(crate) sequence: u64,
    size: usize,
    at: u64,
    pub(crate) lost: bool,
}

#[derive(Debug)]
pub(crate) struct Naive {
    limits: Limits,
    pub(crate) events: Vec<Published>,
    pub(crate) subscribers: [usize; TOPICS.len()],
    /// In milliseconds.
    pub(crate) now: u64,
    swept: u64,
}

impl Naive {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, events: Vec::new(), subscribers: Default::default(), now: 0, swept: 0 }
    }

    pub(crate) fn newest(&self) -> u64 {
        self.events.len() as u64
    }

    pub(crate) fn in_topic(&self, topic: usize) -> impl DoubleEndedIterator<Item = &Published> {
        self.events.iter().filter(move |event| event.topic == topic)
    }

    pub(crate) fn kept(&self, topic: usize) -> impl Iterator<Item = &Published> {
        self.in_topic(topic).filter(|event| !event.lost)
    }

    /// The newest event of the topic that is lost.
    pub(crate) fn lost_to(&self, topic: usize) -> u64 {
        let lost = self.in_topic(topic).rev().find(|event| event.lost);
        lost.map_or(0, |event| event.sequence)
    }

    fn bytes(&self, topic: usize) -> usize {
        self.kept(topic).map(|event| event.size).sum()
    }

    /// An event takes 112 bytes more than on the wire.
    fn memory_of_events(&self, topic: usize) -> usize {
        self.kept(topic).map(|event| event.size + 112).sum()
    }

    /// And a topic that keeps something 560, and its name.
    fn memory(&self, topic: usize) -> usize {
        match self.memory_of_events(topic) {
            0 => 0,
            events => 560 + TOPICS[topic].len() + events,
        }
    }

    fn memory_in_all(&self) -> usize {
        (0..TOPICS.len()).map(|topic| self.memory(topic)).sum()
    }

    fn lose_oldest(&mut self, topic: usize) {
        let mut kept = self.events.iter_mut().filter(|event| event.topic == topic && !event.lost);
        kept.next().unwrap().lost = true;
    }

    pub(crate) fn publish(&mut self, topic: usize, size: usize) {
        let sequence = self.newest() + 1;
        self.events.push(Published { topic, sequence, size, at: self.now, lost: false });
        self.trim(topic);
        if self.memory_in_all() > self.limits.in_all {
            self.make_room();
        }
        // All topics have their turn after one event, but at most once in a millisecond.
        if self.swept != self.now {
            self.swept = self.now;
            (0..TOPICS.len()).for_each(|topic| self.trim(topic));
        }
    }

    pub(crate) fn trim(&mut self, topic: usize) {
        let Limits { events, bytes, age, in_all } = self.limits;
        loop {
            let Some(oldest) = self.kept(topic).next() else { return };
            let count = self.kept(topic).count();
            let too_many = count > events;
            let too_large = count > 1 && self.bytes(topic) > bytes;
            let fits_nowhere = self.memory_of_events(topic) > in_all;
            if !(too_many || too_large || fits_nowhere || self.now - oldest.at > age) {
                return;
            }
            self.lose_oldest(topic);
        }
    }

    /// What goes first of several topics, and that the rest goes by halves, is promised to nobody. But what
    /// is lost has to be known here.
    fn make_room(&mut self) {
        let mut topics: Vec<_> = (0..TOPICS.len()).collect();
        topics.sort_by_key(|topic| self.in_topic(*topic).last().map(|event| event.sequence));
        let room = self.limits.in_all;
        while self.memory_in_all() > room {
            let unsubscribed = |topic: &&usize| self.subscribers[**topic] == 0;
            let not_empty = |topic: &&usize| self.memory(**topic) > 0;
            if let Some(oldest) = topics.iter().filter(unsubscribed).find(not_empty) {
                self.lose_oldest(*oldest);
                continue;
            }
            // Of several that keep as much, the one to which nothing was published for longest.
            let largest = topics.iter().rev().max_by_key(|topic| self.memory_of_events(**topic));
            let all = self.memory_of_events(*largest.unwrap());
            while 2 * (all - self.memory_of_events(*largest.unwrap())) < all {
                self.lose_oldest(*largest.unwrap());
            }
        }
    }

    /// The place before the newest `count` events of these topics.
    pub(crate) fn before_recent(&self, topics: &[usize], count: usize) -> u64 {
        let kept = self.events.iter().rev();
        let recent = kept.filter(|event| topics.contains(&event.topic) && !event.lost).take(count);
        recent.last().map_or(self.newest(), |event| event.sequence - 1)
    }
}
