//! Random histories of a hub and its clients, checked against the [naive](Naive) hub.

use proptest::{prelude::*, sample::Index, test_runner::RngAlgorithm};

use crate::*;

const CLIENTS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        process: Index,
        topic: usize,
        len: usize,
    },
    Gap {
        process: Index,
        topic: usize,
    },
    Connect {
        client: usize,
        process: Index,
        topics: Vec<usize>,
        recent: usize,
        is_greeted: bool,
        with: With,
    },
    Poll {
        client: usize,
        items: usize,
    },
    /// Disconnects after some messages of the last item have arrived.
    Disconnect {
        client: usize,
        arrived: Index,
    },
    Reconnect {
        client: usize,
        process: Index,
    },
    Wait {
        milliseconds: u64,
    },
    Close {
        process: Index,
    },
    LoseHistory,
    PauseOrResume {
        process: Index,
    },
    Restart {
        process: Index,
    },
}

#[derive(Clone, Debug)]
enum With {
    Nothing,
    Ours(Index),
    Foreign,
    Malformed(&'static str),
    Unassigned(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let some_of = |count| prop::sample::subsequence((0..TOPICS.len()).collect::<Vec<_>>(), count);
    let topics = prop_oneof![some_of(1..=4), some_of(5..=TOPICS.len())];
    // Most events are of a few topics, so the others have none for long.
    let topic = prop_oneof![0..TOPICS.len(), 0..3_usize];
    let recent = prop_oneof![Just(0), 1_usize..5, Just(usize::MAX)];
    let len = prop_oneof![8 => 0_usize..60, 1 => 3_000_usize..9_000];
    let with = prop_oneof![
        3 => Just(With::Nothing),
        4 => any::<Index>().prop_map(With::Ours),
        1 => Just(With::Foreign),
        1 => prop::sample::select(vec!["?", "7", "a-b", "1-+1", "1-01", "-1"]).prop_map(With::Malformed),
        1 => (1_u64..5).prop_map(With::Unassigned),
    ];
    let process = any::<Index>;
    prop_oneof![
        90 => (process(), topic.clone(), len)
            .prop_map(|(process, topic, len)| Step::Publish { process, topic, len }),
        15 => (process(), topic).prop_map(|(process, topic)| Step::Gap { process, topic }),
        20 => (client.clone(), process(), topics.prop_shuffle(), recent, any::<bool>(), with)
            .prop_map(|(client, process, topics, recent, is_greeted, with)| {
                Step::Connect { client, process, topics, recent, is_greeted, with }
            }),
        60 => (client.clone(), 1_usize..8).prop_map(|(client, items)| Step::Poll { client, items }),
        15 => (client.clone(), any::<Index>())
            .prop_map(|(client, arrived)| Step::Disconnect { client, arrived }),
        20 => (client, process()).prop_map(|(client, process)| Step::Reconnect { client, process }),
        10 => (1_u64..20).prop_map(|milliseconds| Step::Wait { milliseconds }),
        1 => process().prop_map(|process| Step::Close { process }),
        9 => Just(Step::LoseHistory),
        9 => process().prop_map(|process| Step::PauseOrResume { process }),
        2 => process().prop_map(|process| Step::Restart { process }),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let bytes = prop::sample::select(vec![100, 400, 20_000, 1 << 20]);
    let memory = prop::sample::select(vec![0, 300, 2_000, 30_000, AMPLE_MEMORY]);
    let events = prop_oneof![1_usize..6, Just(1024)];
    let age = prop_oneof![0_u64..30, Just(1_000_000)];
    (events, bytes, age, memory).prop_map(|(events, bytes, age, memory)| Limits {
        events,
        bytes,
        age,
        memory,
    })
}

async fn run(mut world: World, steps: Vec<Step>) {
    let mut clients: [Visitor; CLIENTS] = Default::default();
    // At the end, each client reads what is left.
    let last = (0..CLIENTS).map(|client| Step::Poll { client, items: usize::MAX });
    for step in steps.into_iter().chain(last) {
        // Renews the task's cooperative budget, without which subscriptions would be pending.
        yield_now().await;
        let processes = world.processes.len();
        match step {
            Step::Publish { process, topic, len } => {
                world.publish(process.index(processes), topic, len).await;
            }
            Step::Gap { process, topic } => world.gap(process.index(processes), topic).await,
            Step::Connect { client, process, topics, recent, is_greeted, with } => {
                let client = &mut clients[client];
                client.disconnect(&mut world);
                client.last = with.id(&world);
                (client.topics, client.recent, client.is_greeted) = (topics, recent, is_greeted);
                client.connect(&mut world, process.index(processes));
            }
            Step::Poll { client, items } => {
                (0..items).all(|_| clients[client].poll(&mut world));
            }
            Step::Disconnect { client, arrived } => {
                let client = &mut clients[client];
                if !client.ids.is_empty() {
                    client.last = client.ids[arrived.index(client.ids.len())].clone();
                }
                client.disconnect(&mut world);
            }
            Step::Reconnect { client, process } => {
                let client = &mut clients[client];
                if !client.topics.is_empty() {
                    client.disconnect(&mut world);
                    client.connect(&mut world, process.index(processes));
                }
            }
            Step::Wait { milliseconds } => {
                advance(Duration::from_millis(milliseconds)).await;
                world.wait(milliseconds);
            }
            Step::Close { process } => world.close(process.index(processes)),
            Step::LoseHistory => world.lose_history(),
            Step::PauseOrResume { process } => world.pause_or_resume(process.index(processes)),
            // A hub without a broker would lose its events in a restart.
            Step::Restart { .. } if processes == 1 => {}
            Step::Restart { process } => {
                let process = process.index(processes);
                for client in clients.iter_mut().filter(|client| client.process == process) {
                    client.disconnect(&mut world);
                }
                world.restart(process);
            }
        }
        world.check();
    }
}

impl With {
    fn id(self, world: &World) -> Option<LastEventId> {
        match self {
            Self::Nothing => None,
            Self::Ours(index) => Some(world.id(index.index(world.newest as usize + 1) as u64)),
            Self::Foreign => Some(last_id("zz-1")),
            Self::Malformed(id) => Some(last_id(id)),
            Self::Unassigned(by) => Some(world.id(world.newest + by)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        // A case can fail by an endless loop, which takes a while to notice.
        max_shrink_time: 60_000,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_client_receives_each_event_once_in_order_or_a_gap(
        limits in limits(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        without_deadlock(move || block_on(async { run(World::in_process(limits), steps).await }));
    }

    #[test]
    fn clients_of_two_processes_receive_each_event_in_order_or_a_gap(
        limits in [limits(), limits()],
        steps in prop::collection::vec(step(), 0..160),
    ) {
        without_deadlock(move || block_on(async { run(World::fed(limits), steps).await }));
    }
}

// A client without an id of this hub is not sent a gap that was reported before the client came.
// But the hub evicts such a gap together with the event before the gap, and reports the eviction
// even to a client that has received that event and a later gap.
#[test]
fn client_receives_gap_from_before_its_visit_once_evicted() {
    block_on(async {
        let age = 1_000_000;
        let mut world =
            World::in_process(Limits { events: 1, bytes: 1 << 20, age, memory: AMPLE_MEMORY });
        world.publish(0, 0, 1).await;
        world.gap(0, 0).await;
        let mut client = Visitor::default();
        (client.topics, client.last) = (vec![0, 1], Some(last_id("zz-1")));
        client.connect(&mut world, 0);
        assert!(client.poll(&mut world), "a gap of each topic");
        assert!(client.poll(&mut world), "the event");
        world.gap(0, 1).await;
        assert!(client.poll(&mut world), "the gap of the other topic");
        world.publish(0, 0, 1).await;
        assert!(client.poll(&mut world), "the gap that was evicted with the event");
        assert!(client.poll(&mut world), "the new event");
        assert!(!client.poll(&mut world));
        world.check();
    });
}

/// Runs `run` with a paused clock. The hub must be created inside of `run`.
fn block_on(run: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(run);
}

// The naive hub: a list of all events ever published. It asks the hub under test which events are
// kept, and checks that these agree with the limits and with the documented order of eviction.

/// More than twice as many topics as the hub looks at one by one.
pub(crate) const TOPICS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

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
    /// Whether this is a gap that the program reported.
    pub(crate) is_gap: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Received {
    Event(Published),
    /// Each topic may have lost events up to this sequence number.
    Loss(u64),
}

#[derive(Debug)]
pub(crate) struct Naive {
    pub(crate) limits: Limits,
    events: Vec<Published>,
    /// The newest sequence number of an event or a loss.
    pub(crate) newest: u64,
    pub(crate) losses: Vec<u64>,
    pub(crate) subscribers: [usize; TOPICS.len()],
    /// In milliseconds.
    pub(crate) now: u64,
    pub(crate) gaps: u64,
}

impl Naive {
    pub(crate) fn new(limits: Limits) -> Self {
        let (events, losses, subscribers) = Default::default();
        Self { limits, events, newest: 0, losses, subscribers, now: 0, gaps: 0 }
    }

    pub(crate) fn items(&self, topic: usize) -> impl DoubleEndedIterator<Item = &Published> {
        self.events.iter().filter(move |event| event.topic == topic)
    }

    fn in_topic(&self, topic: usize) -> impl DoubleEndedIterator<Item = &Published> {
        self.items(topic).filter(|event| !event.is_gap)
    }

    pub(crate) fn kept(&self, topic: usize) -> impl DoubleEndedIterator<Item = &Published> {
        self.in_topic(topic).filter(|event| !event.evicted)
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.events.iter().filter(|event| event.evicted && !event.is_gap).count() as u64
    }

    pub(crate) fn evicted_up_to(&self, topic: usize) -> u64 {
        let evicted = self.items(topic).rev().find(|event| event.evicted);
        evicted.map_or(0, |event| event.sequence)
    }

    /// Records what the hub has received. The hub has already evicted old events of all topics.
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
        // Events are evicted in the order of `rank`. An event above the limit evicts only events of
        // its own topic, which is left out here.
        if let [Received::Event(event)] = received
            && !event.is_gap
        {
            let rank = |event: &Published| {
                let newest = self.in_topic(event.topic).next_back().unwrap().sequence;
                (event.sequence == newest, event.sequence)
            };
            let last = evicted.iter().filter(|other| other.topic != event.topic).map(rank).max();
            let first = self.events.iter().filter(|event| !event.evicted && !event.is_gap);
            let first = first.map(rank).min();
            assert!(first.is_none() || last < first, "{last:?} is evicted before {first:?}");
        }
    }

    /// Records a new subscriber of a topic. When it subscribed, the hub evicted old events of the
    /// topic.
    pub(crate) fn subscribe(&mut self, hub: &Hub, topic: usize) {
        self.subscribers[topic] += 1;
        assert!(self.observe(hub, topic).is_empty(), "evicted without need");
    }

    /// Asks the hub which events of a topic are kept. Returns the evicted events that the topic's
    /// own limits would allow.
    fn observe(&mut self, hub: &Hub, topic: usize) -> Vec<Published> {
        let allowed = self.allowed(topic);
        let name = TOPICS[topic];
        // A subscription would create the topic.
        let exists = hub.topics().iter().any(|topic| **topic == *name);
        let messages = if exists { resumed(hub, &[name], 0).messages() } else { Vec::new() };
        let events = messages.iter().filter(|message| message.event != "gap");
        let kept: Vec<_> = events.map(|event| sequence(&event.last_event_id)).collect();
        self.gaps += (messages.len() - kept.len()) as u64;
        assert!(allowed.ends_with(&kept), "{kept:?} are kept, of {allowed:?}");
        // A gap is evicted with the event before it.
        let oldest = kept.first().copied().unwrap_or(u64::MAX);
        for event in self.events.iter_mut().filter(|event| event.topic == topic) {
            event.evicted = match event.is_gap {
                true => event.sequence < oldest,
                false => !kept.contains(&event.sequence),
            };
        }
        let is_lost = |event: &&Published| {
            event.evicted && event.topic == topic && allowed.contains(&event.sequence)
        };
        self.events.iter().filter(is_lost).cloned().collect()
    }

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

    pub(crate) fn before_recent(&self, topics: &[usize], count: usize) -> u64 {
        let kept = self.events.iter().rev().filter(|event| !event.evicted && !event.is_gap);
        let recent = kept.filter(|event| topics.contains(&event.topic)).take(count);
        recent.last().map_or(self.newest, |event| event.sequence - 1)
    }
}
