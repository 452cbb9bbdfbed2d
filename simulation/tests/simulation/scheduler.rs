mod recovery;

use super::kinds::Kind;
use crate::*;

/// The processes and clients of one simulation, and what may happen to them.
pub(crate) struct Scheduler {
    rng: Rng,
    network: Network,
    processes: Vec<Process>,
    lives: Vec<Life>,
    clients: Vec<Client>,
    publications: Publications,
    topics: usize,
    /// Whether further topics end, and their number so far.
    ends_topics: bool,
    ended: usize,
    /// The age after which entries are removed, and which hubs keep, if there is one.
    max_age: Option<Duration>,
    /// The kinds of faults of this simulation: with a few of them, pairs meet more often.
    kinds: Vec<Kind>,
    stops_processes: bool,
    /// The hub that most faults hit, and that publishes most events.
    victim: usize,
    has_lost: bool,
    /// The hub whose link is slow, once there was an entry that is too large for it.
    slow: Option<usize>,
    /// The steps that are left of a series of faults with little time between them.
    series: u32,
}

impl Scheduler {
    pub(crate) fn new(mut rng: Rng, network: &Network, hubs: usize) -> Self {
        // An end that is lost is none, so its topic goes on.
        let ends_topics = rng.u8(..5) == 0;
        let kinds = Kind::some(&mut rng, !ends_topics);
        let topics = rng.usize(1..4);
        let clients = (0..rng.usize(2..7)).map(|number| {
            let mut of_client: Vec<_> = (0..topics).filter(|_| rng.bool()).collect();
            if of_client.is_empty() {
                of_client.push(rng.usize(..topics));
            }
            Client::new(number, of_client)
        });
        let clients = clients.collect();
        let mut scheduler = Self {
            network: network.clone(),
            processes: Vec::new(),
            lives: Vec::new(),
            clients,
            publications: Publications::default(),
            topics,
            ends_topics,
            ended: 0,
            max_age: (!ends_topics && rng.u8(..6) == 0)
                .then(|| Duration::from_secs(rng.u64(5..15))),
            kinds,
            stops_processes: rng.u8(..5) == 0,
            victim: rng.usize(..hubs),
            has_lost: false,
            slow: None,
            series: 0,
            rng,
        };
        // A process that is behind does not know what was trimmed.
        scheduler.has_lost = scheduler.max_age.is_some();
        network.log(|| {
            let Self { kinds, max_age, .. } = &scheduler;
            format!("{hubs} hubs, {topics} topics, maximum age {max_age:?}, faults: {kinds:?}")
        });
        for number in 0..hubs {
            let process = scheduler.start(number);
            scheduler.processes.push(process);
        }
        scheduler
    }

    fn start(&mut self, number: usize) -> Process {
        self.lives.push(Life { stopped: false });
        Process::start(&self.network, number, self.lives.len() - 1, self.max_age)
    }

    /// Runs until the end, and returns what happened and which hubs did not recover.
    pub(crate) async fn run(mut self) -> (History, Vec<String>) {
        while self.processes.iter().any(|process| process.hub().is_none()) {
            self.pass(10).await;
        }
        if self.rng.bool() {
            // Redis then counts up from its newest id, so ids repeat after every roll-back.
            Fault::Clock { step: -3_600_000 }.inject(&self.network);
        }
        let fault_weight = self.rng.u32(2..14);
        for _ in 0..self.rng.usize(30..120) {
            self.step(fault_weight).await;
        }
        self.network.heal();
        self.slow.inspect(|hub| Fault::limit(&self.network, *hub));
        // The clock may be behind, so that the key would expire much later.
        self.network.persist(&["tower-sse", "other", "copy"]);
        let failures = self.recover().await;
        let mut calm = Vec::new();
        if let Some(age) = self.max_age {
            calm.push(self.stay_quiet(age).await);
        }
        calm.push(self.miss_nothing().await);
        let journals = self.clients.into_iter().map(|client| client.journal).collect();
        let publications = mem::take(&mut *self.publications.lock());
        let (lives, has_lost) = (self.lives, self.has_lost);
        let is_seen_at_once = self.kinds.iter().all(|kind| kind.is_seen_at_once());
        let kept = self.network.stream();
        let (overtaken, markers) = (overtaken(&self.network), self.network.markers());
        let history = History {
            publications,
            journals,
            lives,
            kept,
            has_lost,
            is_seen_at_once,
            calm,
            overtaken,
            markers,
        };
        (history, failures)
    }

    async fn step(&mut self, fault_weight: u32) {
        if self.series > 0 {
            self.series -= 1;
            match self.rng.u8(..8) {
                0..4 => self.publish(),
                4..5 => self.move_client(),
                _ => self.inject().await,
            }
            let milliseconds =
                if self.rng.bool() { self.rng.u64(..10) } else { self.rng.u64(..200) };
            return self.pass(milliseconds).await;
        }
        match self.rng.u32(..60 + fault_weight) {
            0..34 => self.publish(),
            34..46 => self.move_client(),
            46..48 if self.stops_processes => self.restart_process(),
            48..52 if self.ends_topics => self.end_topic().await,
            46..60 => {}
            _ => {
                self.inject().await;
                self.series = if self.rng.bool() { self.rng.u32(1..12) } else { 0 };
            }
        }
        let milliseconds = match self.rng.u8(..40) {
            0..20 => 0,
            20..32 => self.rng.u64(..10),
            32..38 => self.rng.u64(..200),
            38 => self.rng.u64(..1_000),
            _ => self.rng.u64(..5_000),
        };
        self.pass(milliseconds).await;
    }

    fn publish(&mut self) {
        let hub = self.choose_hub();
        for _ in 0..self.rng.usize(1..5) {
            let topic = self.rng.usize(..self.topics);
            self.publish_at(hub, topic, false);
        }
    }

    fn publish_at(&self, hub: usize, topic: usize, is_last: bool) -> Option<usize> {
        self.publications.publish(&self.network, &self.processes[hub], topic, is_last)
    }

    /// Ends a topic that has no clients, while all hubs publish to it.
    async fn end_topic(&mut self) {
        let topic = self.topics + self.ended;
        self.ended += 1;
        let hub = self.choose_hub();
        self.publish_at(hub, topic, true);
        for _ in 0..self.rng.usize(3..9) {
            let milliseconds = self.rng.u64(..40);
            self.pass(milliseconds).await;
            let hub = self.rng.usize(..self.processes.len());
            self.publish_at(hub, topic, false);
        }
    }

    fn choose_hub(&mut self) -> usize {
        if self.rng.bool() { self.victim } else { self.rng.usize(..self.processes.len()) }
    }

    fn move_client(&mut self) {
        let client = self.rng.usize(..self.clients.len());
        let hub = self.rng.usize(..self.processes.len());
        let client = &mut self.clients[client];
        if self.rng.u8(..3) > 0 {
            client.receive(&self.network, self.rng.usize(..3));
        }
        client.cut();
        if self.rng.u8(..3) > 0 {
            client.resume(&self.network, &self.processes[hub]);
        }
    }

    /// Stops a process as a crash does, and starts it again.
    fn restart_process(&mut self) {
        let number = self.rng.usize(..self.processes.len());
        self.network.log(|| format!("*** hub {number} stops and starts again"));
        let life = self.processes[number].life;
        self.lives[life].stopped = true;
        self.clients.iter_mut().filter(|client| client.life() == Some(life)).for_each(Client::cut);
        let process = self.start(number);
        self.processes[number] = process;
    }

    async fn inject(&mut self) {
        let kind = self.kinds[self.rng.usize(..self.kinds.len())];
        if kind == Kind::LargeEntry && self.slow.is_some() {
            return;
        }
        self.has_lost |= kind.loses();
        let hubs = self.processes.len();
        if kind.loses() && self.rng.bool() {
            // The hubs see this event, and neither those after it nor the loss at once.
            Kind::HoldAllReads.choose(&mut self.rng, hubs, self.victim).inject(&self.network);
            self.publish();
            let milliseconds = self.rng.u64(..60);
            self.pass(milliseconds).await;
        }
        let fault = kind.choose(&mut self.rng, hubs, self.victim);
        if let Fault::LargeEntry { hub } = fault {
            self.slow = Some(hub);
        }
        fault.inject(&self.network);
    }

    /// Lets time pass, and clients receive.
    async fn pass(&mut self, milliseconds: u64) {
        sleep(Duration::from_millis(milliseconds)).await;
        for client in &mut self.clients {
            // A slow client does not receive everything at once.
            if self.rng.u8(..4) > 0 {
                client.receive(&self.network, usize::MAX);
            }
        }
    }
}
