use super::faults::{Harm, Kind, hold_all_reads, limit};
use crate::*;

/// The hubs of one simulation, and what may happen to them.
pub(crate) struct Hubs {
    pub(crate) rng: Rng,
    pub(crate) network: Network,
    pub(crate) world: World,
    pub(crate) topics: usize,
    /// Whether topics without clients end in this simulation.
    ends_topics: bool,
    /// The number of topics that have ended so far.
    ended: usize,
    /// The kinds of faults of this simulation. There are few, so that faults of two given kinds
    /// coincide more often.
    kinds: Vec<Kind>,
    stops_processes: bool,
    /// The hub that most faults hit, and that publishes most events.
    victim: usize,
    /// The hub whose link is slow, once there was an entry that is too large for it.
    pub(crate) slow: Option<usize>,
}

impl Hubs {
    pub(crate) fn new(mut rng: Rng, network: Network, hubs: usize) -> Self {
        // If topics end in this simulation, no events are lost: a topic whose end is lost would go
        // on.
        let ends_topics = rng.u8(..5) == 0;
        let kinds = Kind::some(&mut rng, !ends_topics);
        // A subscription of more than four topics reads from a heap of them.
        let topics = if rng.bool() { rng.usize(1..4) } else { rng.usize(5..10) };
        let of_clients = (0..rng.usize(2..7)).map(|_| {
            let of_client: Vec<_> = (0..topics).filter(|_| rng.bool()).collect();
            if of_client.is_empty() { vec![rng.usize(..topics)] } else { of_client }
        });
        let of_clients = of_clients.collect();
        let ages = !ends_topics && rng.u8(..6) == 0;
        let max_age = ages.then(|| Duration::from_secs(rng.u64(5..15)));
        network.log(|| {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
            format!("{hubs} hubs, {topics} topics, maximum age {max_age:?}, faults: {kinds:?}")
        });
        Self {
            world: World::new(network.clone(), hubs, of_clients, max_age),
            network,
            topics,
            ends_topics,
            ended: 0,
            kinds,
            stops_processes: rng.u8(..5) == 0,
            victim: rng.usize(..hubs),
            slow: None,
            rng,
        }
    }

    /// Runs until the end and returns what happened and which hubs did not recover.
    pub(crate) async fn run(mut self) -> (History, Vec<String>) {
        connect(&self.world.processes).await;
        if self.rng.bool() {
            // Redis then counts up from its newest id, so ids can repeat after a roll-back.
            self.network.set_clock(-3_600_000);
        }
        let steps = self.rng.usize(30..120);
        self.play(steps, true).await;
        self.network.heal();
        self.slow.inspect(|hub| limit(&self.network, *hub));
        // If the clock was set back after `PEXPIRE`, a key would otherwise expire much later.
        self.network.persist(&["tower-sse", "other", "copy"]);
        let failures = self.recover().await;
        let mut calm = Vec::new();
        if let Some(age) = self.world.max_age {
            calm.push(self.stay_quiet(age).await);
        }
        calm.push(self.miss_nothing().await);
        let mut harms = self.kinds.iter().map(|kind| kind.harm);
        let is_seen_at_once = harms.all(|harm| matches!(harm, Harm::None | Harm::Trimmed));
        (History { is_seen_at_once, calm, ..self.world.history() }, failures)
    }

    pub(crate) fn publish(&mut self) {
        let hub = self.choose_hub();
        for _ in 0..self.rng.usize(1..5) {
            // Some topics get no events for long.
            let topic = self.rng.usize(..self.topics).min(self.rng.usize(..self.topics));
            self.world.publish(hub, topic, false);
        }
    }

    /// Ends a topic that has no clients, while hubs publish to it.
    async fn end_topic(&mut self) {
        let topic = self.topics + self.ended;
        self.ended += 1;
        let hub = self.choose_hub();
        self.world.publish(hub, topic, true);
        for _ in 0..self.rng.usize(3..9) {
            let milliseconds = self.rng.u64(..40);
            self.pass(milliseconds).await;
            let hub = self.any_hub();
            self.world.publish(hub, topic, false);
        }
    }

    pub(crate) fn choose_hub(&mut self) -> usize {
        choose_near(&mut self.rng, self.victim, self.world.processes.len())
    }

    pub(crate) fn any_hub(&mut self) -> usize {
        self.rng.usize(..self.world.processes.len())
    }

    fn move_client(&mut self) {
        let (number, hub) = (self.rng.usize(..self.world.clients.len()), self.any_hub());
        let client = &mut self.world.clients[number];
        if self.rng.u8(..3) > 0 {
            client.receive(&self.network, self.rng.usize(..3));
        }
        client.cut();
        if self.rng.u8(..3) > 0 {
            self.world.resume(number, hub);
        }
    }
}

impl Scheduler for Hubs {
    const PACE: Pace = Pace {
        calm: 60,
        series: 12,
        pauses: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 10, 10, 10, 10, 10, 200, 200, 200, 5_000],
        short_pauses: [10, 200],
    };

    fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    async fn act(&mut self, choice: u32) {
        match choice {
            0..34 => self.publish(),
            34..46 => self.move_client(),
            46..48 if self.stops_processes => {
                let hub = self.any_hub();
                self.world.restart(hub);
            }
            48..52 if self.ends_topics => self.end_topic().await,
            _ => {}
        }
    }

    async fn inject(&mut self) {
        let kind = self.kinds[self.rng.usize(..self.kinds.len())];
        self.world.has_lost |= kind.loses();
        self.world.may_be_ahead |= kind.harm == Harm::Ahead;
        if kind.loses() && self.rng.bool() {
            // The publisher receives acknowledgements, but no hub reads these events or sees the
            // loss at once.
            hold_all_reads(self);
            self.publish();
            let milliseconds = self.rng.u64(..60);
            self.pass(milliseconds).await;
        }
        let hub = self.choose_hub();
        (kind.inject)(self, hub);
    }

    async fn pass(&mut self, milliseconds: u64) {
        sleep(Duration::from_millis(milliseconds)).await;
        for client in &mut self.world.clients {
            // A slow client does not receive everything at once.
            if self.rng.u8(..4) > 0 {
                client.receive(&self.network, usize::MAX);
            }
        }
    }
}
