//! Random hubs and clients of sizes beyond every constant of the code: thousands of topics, bursts
//! of hundreds of events, events of many blocks, more losses than a hub keeps. A client is checked
//! against the list of all items, and is polled only if it was woken. The [model](crate::model)
//! checks more, with few topics and events.

use crate::*;

/// An event, or a gap that the program reported.
struct Item {
    number: u64,
    /// The event's data.
    data: Option<(usize, usize)>,
}

struct Rig {
    hub: Hub,
    broker: Option<MemoryBroker>,
    names: Vec<String>,
    max_memory: usize,
    /// The number of events that each topic keeps, if nothing else is evicted.
    kept: Option<usize>,
    items: Vec<Vec<Item>>,
    losses: Vec<u64>,
    published: usize,
}

impl Rig {
    fn new(random: &mut fastrand::Rng, topics: usize) -> Self {
        let events = *random.choice(&[1, 2, 40, 3_000]).unwrap();
        let retention = Retention::new().events(events).bytes(64 << 20);
        let age = Duration::from_secs(random.u64(1..30));
        let mut max_memory = 1 << 30;
        let (kept, retention) = match random.u8(..4) {
            0 => {
                max_memory = *random.choice(&[3_000, 60_000, 7 << 20]).unwrap();
                (None, Retention::new().events(3_000))
            }
            1 => (None, retention.age(age)),
            _ => (Some(events), retention),
        };
        let builder = Hub::builder().retention(retention).max_memory(max_memory);
        let broker = random.bool().then(MemoryBroker::new);
        let hub = match &broker {
            Some(broker) => connect_with(builder, broker),
            None => builder.build(),
        };
        let names = (0..topics).map(|topic| format!("t{topic}")).collect();
        let items = (0..topics).map(|_| Vec::new()).collect();
        Self { hub, broker, names, max_memory, kept, items, losses: Vec::new(), published: 0 }
    }

    fn publish(&mut self, topic: usize, len: usize) {
        let data = Some((self.published, len));
        self.published += 1;
        let number = publish(&self.hub, &self.names[topic], &text(topic, data));
        self.items[topic].push(Item { number, data });
    }

    fn gap(&mut self, topic: usize) {
        let receipt = unconstrained(self.hub.gap(&self.names[topic])).now_or_never().unwrap();
        let number = sequence(receipt.unwrap().id().as_str());
        self.items[topic].push(Item { number, data: None });
    }

    /// Publishes an event that takes the memory of thousands of topics.
    fn publish_huge(&mut self) {
        if self.broker.is_none() && self.max_memory == 7 << 20 {
            let event = Event::from("huge").comment("x".repeat(5 << 20));
            self.hub.publish_now("huge", event).unwrap();
            self.published += 1;
        }
    }

    fn lose_history(&mut self) {
        let Some(broker) = &self.broker else { return };
        broker.lose_history();
        self.losses.push(self.newest());
    }

    fn newest(&self) -> u64 {
        sequence(self.hub.position().as_str())
    }

    /// Returns the number in an id of this hub.
    fn number(&self, id: &str) -> Option<u64> {
        let position = self.hub.position();
        let (epoch, number) = id.split_once('-')?;
        (position.as_str().split_once('-')?.0 == epoch).then(|| number.parse().unwrap())
    }

    /// Returns the items of a topic after `seen` and up to `last`.
    fn range(&self, topic: usize, seen: u64, last: u64) -> &[Item] {
        let items = &self.items[topic];
        let after = |number| items.partition_point(|item| item.number <= number);
        &items[after(seen)..after(last.max(seen))]
    }

    /// Returns the number of the newest item that the topic has evicted, if that is certain.
    fn evicted(&self, topic: usize) -> Option<u64> {
        let items = &self.items[topic];
        let events = items.iter().enumerate().rev().filter(|(_, item)| item.data.is_some());
        let oldest = events.take(self.kept?).last().map_or(items.len(), |(index, _)| index);
        Some(items[..oldest].last().map_or(0, |item| item.number))
    }
}

fn text(topic: usize, data: Option<(usize, usize)>) -> String {
    data.map_or_else(String::new, |(event, len)| format!("t{topic} {event} {}", "x".repeat(len)))
}

/// What a client has received of one of its topics.
struct Served {
    topic: usize,
    /// The number up to which the client has received everything, or a gap.
    up_to: u64,
    /// Whether a gap reports items after `up_to`, and it is not certain which.
    is_open: bool,
}

struct Reader {
    client: Client,
    count: Arc<Wakes>,
    waker: Waker,
    is_asleep: bool,
    topics: Vec<Served>,
    /// The place of each topic in `topics`.
    places: HashMap<String, usize>,
    last: LastEventId,
    newest: u64,
    /// Gaps that the program reported up to this number are not sent.
    gaps_from: u64,
    /// Losses up to this number are not reported.
    losses_from: u64,
    /// While a loss is being reported: the number of its gaps that were received.
    loss_gaps: usize,
    /// The first loss that was due when the loss's first gap was received.
    loss: u64,
}

impl Reader {
    fn new(rig: &Rig, random: &mut fastrand::Rng, last: Option<LastEventId>) -> Self {
        let counts = [1, 2, 4, 5, 9, 70, 300, 5_000, usize::MAX];
        let mut topics: Vec<_> = (0..rig.names.len()).collect();
        random.shuffle(&mut topics);
        topics.truncate(*random.choice(&counts).unwrap());
        Self::connect(rig, random, &topics, last)
    }

    fn connect(
        rig: &Rig,
        random: &mut fastrand::Rng,
        topics: &[usize],
        last: Option<LastEventId>,
    ) -> Self {
        let name = |topic: &usize| rig.names[*topic].clone();
        let mut names: Vec<_> = topics.iter().map(name).collect();
        let places = names.iter().cloned().zip(0..).collect();
        // Each topic counts once.
        names.extend((0..random.usize(..3)).map(|_| name(random.choice(topics).unwrap())));
        let newest = rig.newest();
        let position = LastEventId::from(rig.hub.position());
        let client = Client::new(rig.hub.subscribe(&names).resume(last.clone()));
        let (count, waker) = Wakes::new();
        let last = last.unwrap_or(position);
        let seen = rig.number(last.as_str());
        let up_to = seen.unwrap_or(0);
        Self {
            client,
            count,
            waker,
            is_asleep: false,
            topics: topics.iter().map(|it| Served { topic: *it, up_to, is_open: false }).collect(),
            places,
            last,
            newest: up_to,
            gaps_from: seen.unwrap_or(newest),
            losses_from: seen.unwrap_or(newest),
            loss_gaps: 0,
            loss: 0,
        }
    }

    /// Leaves, and returns with the id of the last message that has arrived.
    fn reconnect(&mut self, rig: &Rig, random: &mut fastrand::Rng) {
        if let Some(last) = rig.number(self.last.as_str()) {
            self.assert_received_up_to(rig, last);
        }
        let topics: Vec<_> = self.topics.iter().map(|served| served.topic).collect();
        *self = Self::connect(rig, random, &topics, Some(self.last.clone()));
    }

    fn assert_received_up_to(&self, rig: &Rig, last: u64) {
        assert!(self.due_loss(rig).is_none_or(|loss| loss > last), "a loss is due before {last}");
        for served in self.topics.iter().filter(|served| !served.is_open) {
            let missed = self.missed(rig, served, last);
            assert_eq!(missed, 0, "items of t{} are missing before {last}", served.topic);
        }
    }

    /// Returns the number of items up to `last` that the client has missed.
    fn missed(&self, rig: &Rig, served: &Served, last: u64) -> usize {
        let items = rig.range(served.topic, served.up_to, u64::MAX);
        let is_gap = |index| items.get(index).is_some_and(|item: &Item| item.data.is_none());
        // Gaps without an event between them are one gap, the last.
        let counts = |(index, item): &(usize, &Item)| {
            !is_gap(*index) || !is_gap(index + 1) && item.number > self.gaps_from
        };
        let up_to_last = items.iter().enumerate().take_while(|(_, item)| item.number <= last);
        up_to_last.filter(counts).count()
    }

    /// The hub remembers the newest 64 losses.
    fn due_loss(&self, rig: &Rig) -> Option<u64> {
        let kept = &rig.losses[rig.losses.len().saturating_sub(64)..];
        kept.iter().copied().find(|loss| *loss > self.losses_from)
    }

    /// Reads messages as a task that is polled only if it was woken.
    fn read(&mut self, rig: &Rig, messages: usize) {
        let (mut received, mut yields) = (0, 0);
        while received < messages {
            if self.is_asleep && self.count.take() == 0 {
                assert_eq!(self.loss_gaps, 0, "asleep between the gaps of a loss");
                return self.assert_received_up_to(rig, u64::MAX);
            }
            self.is_asleep = false;
            match self.client.poll_with(&self.waker) {
                Poll::Ready(None) => panic!("the stream has ended"),
                Poll::Ready(Some(item)) => {
                    let gaps = item.iter().filter(|it| it.event == "gap").count();
                    assert!(gaps <= 256, "{gaps} gaps in one item");
                    let reason = self.client.reason.clone().unwrap_or_default();
                    received += item.len();
                    item.iter().for_each(|message| self.check(rig, message, &reason));
                    yields = 0;
                }
                Poll::Pending => {
                    self.is_asleep = true;
                    yields += 1;
                    assert!(yields < 100, "a task that never sleeps");
                }
            }
        }
    }

    fn check(&mut self, rig: &Rig, message: &Message, reason: &str) {
        let is_gap = message.event == "gap";
        let place = self.places[message.data.split(' ').next().unwrap()];
        self.last = last_id(&message.last_event_id);
        // A client with an unknown id receives gaps with an unknown id.
        let number = rig.number(&message.last_event_id).unwrap_or(0);
        assert!(number > self.newest || is_gap && number == self.newest, "in order, and once");
        self.newest = number;
        if is_gap && reason == "lost" {
            return self.check_loss(rig, place, number);
        }
        assert_eq!(self.loss_gaps, 0, "the gaps of a loss are together");
        if is_gap {
            self.check_gap(rig, place, reason);
            if self.topics.len() == 1 {
                // The gap of a single topic includes the losses before it.
                self.losses_from = self.losses_from.max(number);
            }
            return;
        }
        assert!(self.due_loss(rig).is_none_or(|loss| loss > number), "after a loss");
        let served = &self.topics[place];
        let missed = self.missed(rig, served, number - 1);
        assert!(missed == 0 || served.is_open, "{missed} items are missing before {number}");
        // The gap of a loss can have come behind one of evicted events from before and after it.
        let is_needed = missed > 0 || !rig.losses.is_empty();
        assert!(is_needed || !served.is_open, "a gap, and nothing is missing");
        let topic = served.topic;
        let item = rig.range(topic, served.up_to, number).last().expect("a new event");
        assert_eq!((number, &message.data), (item.number, &text(topic, item.data)));
        self.topics[place] = Served { topic, up_to: number, is_open: false };
    }

    fn check_gap(&mut self, rig: &Rig, place: usize, reason: &str) {
        let Served { topic, up_to, .. } = self.topics[place];
        let Some(evicted) = rig.evicted(topic) else {
            self.topics[place].is_open = true;
            return;
        };
        let items = rig.range(topic, up_to, u64::MAX).iter();
        let gap = items.take_while(|item| item.data.is_none()).last().map(|gap| gap.number);
        self.topics[place].up_to = match reason {
            "evicted" if evicted > up_to => evicted,
            "other_hub" => evicted.max(up_to),
            "reported" if gap > Some(self.gaps_from) => gap.unwrap(),
            _ => panic!("nothing of t{topic} is {reason} after {up_to}: {evicted}, {gap:?}"),
        };
    }

    fn check_loss(&mut self, rig: &Rig, place: usize, number: u64) {
        if self.loss_gaps == 0 {
            self.loss = self.due_loss(rig).expect("a loss");
            if rig.kept.is_some() {
                self.assert_none(rig, 0, self.loss);
            }
        }
        let due = self.loss;
        assert_eq!(place, self.loss_gaps, "each topic once");
        self.loss_gaps += 1;
        if self.loss_gaps < self.topics.len() {
            assert!(number < due, "a client that leaves receives all gaps again");
            return;
        }
        // Losses with nothing between them are reported as one.
        assert!(number >= due && rig.losses.contains(&number));
        if rig.kept.is_some() {
            self.assert_none(rig, due, number);
        }
        for served in &mut self.topics {
            served.up_to = served.up_to.max(number);
        }
        (self.losses_from, self.loss_gaps) = (number, 0);
    }

    /// Asserts that there is nothing for the client between these numbers.
    fn assert_none(&self, rig: &Rig, from: u64, to: u64) {
        for Served { topic, up_to, .. } in &self.topics {
            let from = from.max(*up_to);
            let served = Served { topic: *topic, up_to: from, is_open: false };
            assert_eq!(self.missed(rig, &served, to), 0, "items of t{topic} from {from} to {to}");
        }
    }
}

/// Publishes many events, in few topics or in many.
fn publish_some(rig: &mut Rig, random: &mut fastrand::Rng) {
    let topics = rig.names.len();
    // Some topics get nothing for long.
    let few = random.usize(1..=topics.min(3));
    let count = *random.choice(&[1, 3, 40, 700]).unwrap();
    let most = *random.choice(&[20, 20, 200, 30_000]).unwrap();
    let (from, to) = (random.usize(..topics), random.usize(..topics));
    let chosen: Vec<_> = match random.u8(..4) {
        0 => iter::repeat_n(from, count).collect(),
        1 => (from.min(to)..=from.max(to)).collect(),
        2 => (0..count.min(40)).map(|_| random.usize(..topics)).collect(),
        _ => (0..count).map(|_| random.usize(..few)).collect(),
    };
    let most = most.min((1 << 19) / chosen.len());
    for topic in chosen {
        rig.publish(topic, random.usize(..=most));
    }
}

async fn play(random: &mut fastrand::Rng, topics: usize, clients: usize, steps: usize) {
    let mut rig = Rig::new(random, topics);
    let mut readers: Vec<_> = (0..clients).map(|_| Reader::new(&rig, random, None)).collect();
    for _ in 0..steps {
        let reader = &mut readers[random.usize(..clients)];
        match random.u8(..20) {
            0..7 => publish_some(&mut rig, random),
            7 => {
                let first = random.usize(..topics);
                let some = first..topics.min(first + 200);
                if random.bool() {
                    some.clone().for_each(|topic| rig.publish(topic, 1));
                }
                some.for_each(|topic| rig.gap(topic));
            }
            8 => {
                for _ in 0..*random.choice(&[1, 1, 2, 70]).unwrap() {
                    rig.lose_history();
                    rig.publish(0, 1);
                }
            }
            9 => advance(Duration::from_secs(random.u64(..20))).await,
            10..13 => reader.read(&rig, *random.choice(&[1, 30, 300]).unwrap()),
            13..17 => readers.iter_mut().for_each(|reader| reader.read(&rig, usize::MAX)),
            17 | 18 => reader.reconnect(&rig, random),
            _ => {
                let is_foreign = rig.kept.is_some() && random.bool();
                *reader = Reader::new(&rig, random, is_foreign.then(foreign));
            }
        }
    }
    rig.publish_huge();
    // One publish evicts the events of at most 4,096 topics.
    (0..3).for_each(|_| rig.publish(0, 1));
    let memory = rig.hub.stats().memory;
    assert!(memory <= rig.max_memory, "{memory} of {} bytes", rig.max_memory);
    readers.iter_mut().for_each(|reader| reader.read(&rig, usize::MAX));
    let stats = rig.hub.stats();
    assert_eq!(stats.events as u64 + stats.evicted, rig.published as u64);
    assert_eq!(stats.subscribers, readers.iter().map(|reader| reader.topics.len()).sum::<usize>());
}

#[test]
fn clients_of_any_number_of_topics_receive_each_event_or_a_gap() {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    // `.ci/slow properties` tries others.
    let first = std::env::var("TOWER_SSE_FIRST_SEED").map_or(0, |first| first.parse().unwrap());
    // More clients than a topic's list of waiters keeps its memory for.
    for (topics, clients, steps, cases) in
        [(1, 12, 60, 12), (9, 12, 60, 20), (70, 10, 60, 12), (300, 6, 60, 10), (9_000, 4, 30, 6)]
    {
        for seed in first..first + cases {
            let _case = case(format!("{seed} with {topics} topics"));
            let mut random = fastrand::Rng::with_seed(seed);
            runtime.block_on(unconstrained(play(&mut random, topics, clients, steps)));
        }
    }
}
