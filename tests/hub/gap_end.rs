//! Streams that end at a gap: what comes before the end, and what a client gets that returns.

use crate::*;

/// A hub, and all events that were published: the topic and the number of each.
struct Rig {
    hub: Hub,
    topics: Vec<String>,
    /// The number of events that each topic keeps.
    limits: Vec<usize>,
    events: Vec<(usize, u64)>,
}

impl Rig {
    fn new(random: &mut fastrand::Rng) -> Self {
        let topics: Vec<_> = (0..random.usize(1..10)).map(|topic| format!("t{topic}")).collect();
        let limits: Vec<_> = topics.iter().map(|_| random.usize(1..6)).collect();
        let of: HashMap<_, _> = topics.iter().cloned().zip(limits.clone()).collect();
        let retention_of = move |topic: &str| Some(Retention::new().events(of[topic]));
        let hub = Hub::builder().retention_of(retention_of).build();
        Self { hub, topics, limits, events: Vec::new() }
    }

    fn publish(&mut self, random: &mut fastrand::Rng, most: usize) {
        for _ in 0..random.usize(..most) {
            // Some topics get events more often than others.
            let topic = random.usize(0..self.topics.len()).min(random.usize(0..self.topics.len()));
            let name = &self.topics[topic];
            self.events.push((topic, publish(&self.hub, name, name)));
        }
    }

    fn begin(&self, last: u64) -> Client {
        let subscribe = self.hub.subscribe(&self.topics).gap_policy(GapPolicy::ReportAndEnd);
        Client::new(subscribe.resume(id(&self.hub, last)))
    }

    fn numbers(&self, topic: usize) -> Vec<u64> {
        self.events.iter().filter(|event| event.0 == topic).map(|event| event.1).collect()
    }

    /// Returns the number of the newest event that the topic has evicted.
    fn evicted(&self, topic: usize) -> u64 {
        let numbers = self.numbers(topic);
        numbers.iter().rev().nth(self.limits[topic]).copied().unwrap_or(0)
    }

    fn newest_evicted(&self) -> u64 {
        (0..self.topics.len()).map(|topic| self.evicted(topic)).max().unwrap()
    }

    /// Returns what a client with this id receives, and whether its stream ends then.
    fn expected(&self, last: u64) -> (Vec<String>, bool) {
        let is_kept = |(topic, number): &&(usize, u64)| *number > self.evicted(*topic);
        let unread: Vec<_> = self.events.iter().filter(is_kept).filter(|it| it.1 > last).collect();
        let describe =
            |(topic, number): &&(usize, u64)| format!("{}@{number}", self.topics[*topic]);
        let missed = (0..self.topics.len()).map(|topic| (topic, self.evicted(topic)));
        let missed: Vec<_> = missed.filter(|(_, evicted)| *evicted > last).collect();
        let Some(newest_missed) = missed.iter().map(|(_, evicted)| *evicted).max() else {
            return (unread.iter().map(describe).collect(), false);
        };
        // The last gap's id is below all that the client has yet to receive.
        let left = unread.first().map_or(u64::MAX, |(_, number)| *number);
        let passed = missed.iter().map(|(_, evicted)| *evicted).filter(|it| *it < left);
        let passed = passed.max().unwrap_or(last);
        let gap = |(index, (topic, _)): (usize, &(usize, u64))| {
            let at = if index + 1 == missed.len() { passed } else { last };
            format!("gap {}@{at}", self.topics[*topic])
        };
        let gaps = missed.iter().enumerate().map(gap);
        let older = unread.iter().filter(|(_, number)| *number < newest_missed).map(describe);
        (gaps.chain(older).collect(), true)
    }
}

/// After each gap, the client returns with the newest id that it has, or after any message.
#[test]
fn client_gets_all_up_to_the_missed_events_and_later_ones_afterwards() {
    let mut ended_after_events = 0;
    for seed in 0..400 {
        let _case = case(seed.to_string());
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rig = Rig::new(&mut random);
        let mut last = 0;
        for _ in 0..10 {
            rig.publish(&mut random, 20);
            let mut streams = 0;
            loop {
                let (expected, ends) = rig.expected(last);
                let mut client = rig.begin(last);
                let messages = client.messages();
                let described: Vec<_> = messages.iter().map(describe).collect();
                assert_eq!((&described, client.has_ended), (&expected, ends), "after {last}");
                ended_after_events += usize::from(ends && messages.last().unwrap().event != "gap");
                let leaves = random.u8(..4) == 0 && !messages.is_empty();
                let arrived =
                    if leaves { random.usize(1..=messages.len()) } else { messages.len() };
                last = messages[..arrived].last().map_or(last, |it| sequence(&it.last_event_id));
                streams += usize::from(!leaves);
                if !ends && !leaves {
                    break;
                }
            }
            assert!(streams <= 3, "a gap comes once, or twice if older events follow it");
        }
    }
    assert!(ended_after_events > 200, "{ended_after_events}");
}

/// More is published, and evicted, while the stream is read.
#[test]
fn nothing_newer_than_the_missed_events_comes_before_the_end() {
    let mut gaps = 0;
    for seed in 0..400 {
        let _case = case(seed.to_string());
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rig = Rig::new(&mut random);
        let mut client = rig.begin(0);
        let mut has_gap = false;
        for _ in 0..60 {
            rig.publish(&mut random, 5);
            let Poll::Ready(Some(messages)) = client.poll() else {
                assert!(!has_gap || client.has_ended, "the stream waits after a gap");
                if has_gap {
                    let last = client.last.as_ref().map_or(0, |last| sequence(last.as_str()));
                    (client, has_gap) = (rig.begin(last), false);
                }
                continue;
            };
            for message in messages {
                let number = sequence(&message.last_event_id);
                let is_gap = message.event == "gap";
                has_gap |= is_gap;
                gaps += usize::from(is_gap);
                assert!(!has_gap || number <= rig.newest_evicted(), "{}", describe(&message));
            }
        }
        rig.hub.close();
        client.read();
        assert!(client.has_ended);
    }
    assert!(gaps > 1_000, "{gaps}");
}
