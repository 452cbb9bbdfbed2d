//! Processes that have received, kept or lost different events of one log, and a client that moves
//! between them. It counts what it misses without a gap.

use std::collections::VecDeque;

use crate::*;

/// An entry of the log that all processes read. Its number is its place, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Event(usize),
    Gap(usize),
    End(usize),
}

impl Entry {
    const fn topic(self) -> usize {
        let (Self::Event(topic) | Self::Gap(topic) | Self::End(topic)) = self;
        topic
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) topics: usize,
    /// The number of events that each process keeps of a topic.
    pub(crate) kept: &'static [usize],
    /// The number of entries by which the last process is behind at most.
    pub(crate) lag: usize,
    /// The number of entries between two visits, at most.
    pub(crate) burst: usize,
    /// Whether the topic 0 keeps its newest value only.
    pub(crate) has_latest: bool,
    /// Whether there are reported gaps, losses, ends, unknown ids, greetings and all policies.
    pub(crate) has_all: bool,
    pub(crate) moves: bool,
}

pub(crate) const SCENE: Scene = Scene {
    name: "",
    topics: 3,
    kept: &[8, 8],
    lag: 0,
    burst: 20,
    has_latest: false,
    has_all: false,
    moves: true,
};

fn topic_name(topic: usize) -> String {
    format!("t{topic}")
}

/// A process, and what it has received.
pub(crate) struct Node {
    hub: Hub,
    feed: Feed,
    pub(crate) kept: usize,
    pub(crate) has_latest: bool,
    /// The number of the newest entry.
    newest: usize,
    newest_loss: usize,
    /// The entries of each topic.
    received: Vec<Vec<(usize, Entry)>>,
}

impl Node {
    pub(crate) fn new(scene: &Scene, kept: usize) -> Self {
        let (given, taken) = mpsc::channel();
        let has_latest = scene.has_latest;
        let builder = Hub::builder()
            .retention(Retention::new().events(kept).bytes(1 << 30))
            .retention_of(move |topic| (has_latest && topic == "t0").then(Retention::latest));
        let hub = connect_by_hand(builder, move |feed| given.send(feed).unwrap());
        let received = vec![Vec::new(); scene.topics];
        let feed = taken.recv().unwrap();
        Self { hub, feed, kept, has_latest, newest: 0, newest_loss: 0, received }
    }

    pub(crate) fn receive(&mut self, log: &[Entry], up_to: usize, loses: bool) {
        if loses && self.newest < up_to {
            self.newest = up_to;
            self.newest_loss = up_to;
            self.feed.report_loss(up_to as u64).unwrap();
        }
        while self.newest < up_to {
            let entry = log[self.newest];
            self.newest += 1;
            self.received[entry.topic()].push((self.newest, entry));
            let event = match entry {
                Entry::Gap(_) => Event::new().event("gap").data(""),
                Entry::Event(_) | Entry::End(_) => Event::from("x"),
            };
            let arrival = arrival(self.newest as u64).ends_topic(matches!(entry, Entry::End(_)));
            self.feed.event(arrival, &topic_name(entry.topic()), &event).unwrap();
        }
    }

    /// The newest entry of a topic that it no longer has.
    fn evicted(&self, topic: usize) -> usize {
        let entries = &self.received[topic];
        let is_event = |(_, entry): &&(usize, Entry)| !matches!(entry, Entry::Gap(_));
        let kept = entries.iter().rev().filter(is_event).take(self.kept_of(topic)).last();
        let oldest = kept.map_or(usize::MAX, |(number, _)| *number);
        entries.iter().rev().find(|(number, _)| *number < oldest).map_or(0, |(number, _)| *number)
    }

    fn kept_of(&self, topic: usize) -> usize {
        if self.has_latest && topic == 0 { 1 } else { self.kept }
    }
}

/// A client of all topics, which moves.
pub(crate) struct Reader {
    pub(crate) policy: GapPolicy,
    pub(crate) is_greeted: bool,
    pub(crate) recent: usize,
    pub(crate) connection: Option<(Client, usize)>,
    /// Messages that the connection has sent, and the client has not read.
    pub(crate) unread: VecDeque<Message>,
    pub(crate) last: Option<LastEventId>,
    /// The number in the last id, if a process of the log gave it.
    pub(crate) position: usize,
    /// What was published before its first visit, it need not get.
    pub(crate) owed_after: usize,
    pub(crate) received: BTreeSet<usize>,
    /// The newest event of each topic that it has received.
    pub(crate) newest: Vec<usize>,
    /// For each topic, what its gaps have reported.
    pub(crate) covered: Vec<Vec<Range<usize>>>,
    /// The newest entry when it connected with an unknown id, which the gaps of all topics cover.
    pub(crate) unknown_at: Option<usize>,
    pub(crate) gaps: usize,
    pub(crate) silent: usize,
}

impl Reader {
    pub(crate) fn connect(&mut self, nodes: &[Node], index: usize) {
        let hub = &nodes[index].hub;
        let names = self.covered.iter().enumerate().map(|(topic, _)| topic_name(topic));
        let mut subscribe = hub.subscribe(names).gap_policy(self.policy).recent(self.recent);
        if self.is_greeted {
            subscribe =
                subscribe.since(hub.position()).greeting(Event::new().event("greeting").data(""));
        }
        let own = |last: &LastEventId| {
            !["0-", "1-", "zz-", "?"].iter().any(|it| last.as_str().starts_with(it))
        };
        let is_own = self.last.as_ref().is_some_and(own);
        if !is_own {
            self.position = 0;
            self.owed_after = if self.last.is_none() { nodes[index].newest } else { 0 };
            self.received.clear();
            self.newest.fill(0);
            self.covered.fill(Vec::new());
        }
        // With `since`, a gap and the greeting also cover everything until now.
        self.unknown_at = (!is_own || self.is_greeted).then_some(nodes[index].newest);
        self.connection = Some((Client::new(subscribe.resume(self.last.clone())), index));
        self.unread.clear();
    }

    pub(crate) fn leave(&mut self) {
        self.connection = None;
        self.unread.clear();
    }

    /// Reads one message, if there is one.
    pub(crate) fn read(&mut self, nodes: &[Node], log: &[Entry]) -> bool {
        let Some((client, index)) = &mut self.connection else { return false };
        if self.unread.is_empty() {
            let mut polls = 0;
            loop {
                let (count, waker) = Wakes::new();
                match client.poll_with(&waker) {
                    Poll::Ready(Some(messages)) => break self.unread.extend(messages),
                    Poll::Ready(None) => {
                        self.leave();
                        return false;
                    }
                    Poll::Pending if count.take() == 0 => return false,
                    Poll::Pending => polls += 1,
                }
                assert!(polls < 1000, "it is woken for ever");
            }
        }
        let index = *index;
        let Some(message) = self.unread.pop_front() else { return false };
        self.check(&message, &nodes[index], log);
        true
    }

    fn check(&mut self, message: &Message, node: &Node, log: &[Entry]) {
        let last = last_id(&message.last_event_id);
        let number = usize::try_from(sequence(last.as_str())).unwrap();
        let is_own = id(&node.hub, number as u64) == last;
        self.last = Some(last);
        match &*message.event {
            "gap" => {
                self.gaps += 1;
                let topic: usize = message.data[1..].parse().unwrap();
                let covered = node.evicted(topic).max(node.newest_loss);
                let covered = covered.max(self.unknown_at.unwrap_or(0));
                let passed = covered.max(self.newest[topic]).max(self.position);
                // The gaps that were reported are one if no event is between them.
                let entries = node.received[topic].iter();
                let following = entries.skip_while(|(number, _)| *number <= passed);
                let reported = following.take_while(|(_, it)| matches!(it, Entry::Gap(_))).last();
                let covered = reported.map_or(covered, |(number, _)| *number);
                self.covered[topic].push(self.newest[topic] + 1..covered + 1);
            }
            // The state as it is now.
            "greeting" => {
                let covered = self.unknown_at.unwrap_or(0);
                self.covered.iter_mut().for_each(|it| it.push(0..covered + 1));
                self.position = 0;
            }
            _ => {
                assert!(is_own && number > self.position, "{number} after {}", self.position);
                self.received.insert(number);
                self.newest[log[number - 1].topic()] = number;
            }
        }
        if is_own {
            assert!(number >= self.position, "an id goes back from {} to {number}", self.position);
            self.position = number;
        }
    }

    /// Counts what it has missed without a gap. Of a topic that keeps its newest value, only that.
    pub(crate) fn count_silent(&mut self, has_latest: bool, log: &[Entry]) {
        let is_value = |entry: &Entry| matches!(entry, Entry::Event(0) | Entry::End(0));
        let value = log.iter().rposition(is_value).unwrap_or(0);
        for (index, entry) in log.iter().enumerate().skip(self.owed_after) {
            let (number, topic) = (index + 1, entry.topic());
            let is_owed = !has_latest || topic != 0 || index == value;
            let is_covered = || self.covered[topic].iter().any(|it| it.contains(&number));
            if is_owed && !self.received.contains(&number) && !is_covered() {
                self.silent += 1;
            }
        }
    }
}
