use super::client::{Client, Kind as ClientKind};
use super::{kinds::Kind, world::key};
use crate::*;

/// The number of processes.
pub(crate) const PROCESSES: usize = 3;
/// The time in which every client must have its answer after the faults have ended: the longest
/// call takes two minutes.
const RECOVERY: Duration = Duration::from_secs(240);

/// The first of the keys for which only the clients of one fault ask.
const OWN_KEYS: usize = 100;

/// The processes and clients of one simulation, and what may happen to them.
pub(crate) struct Scheduler {
    rng: Rng,
    world: World,
    settings: Settings,
    severity: Severity,
    kinds: Vec<Kind>,
    keys: usize,
    clients: Vec<JoinHandle<()>>,
    /// The process that most faults hit.
    victim: usize,
    /// The steps that are left of a series of faults with little time between them.
    series: u32,
}

/// Ends all processes. Their runs report to the world, which keeps the processes: without this, both
/// leak. Waits until their tasks have ended, because the runtime would drop these in any order.
pub(crate) async fn kill_all(world: &World) {
    let processes = std::mem::take(&mut world.records().processes);
    processes.iter().for_each(Process::kill);
    sleep(Duration::from_millis(1)).await;
}

/// Checks that every key vanishes some time, except for the one whose absence means a loss.
pub(crate) fn check_keys(network: &Network) -> Option<String> {
    let keys = network.eternal_keys();
    let key = keys.iter().find(|key| !key.ends_with(":data"))?;
    Some(format!("{key} never expires"))
}

/// Checks that each process has counted its calls.
pub(crate) fn check_counts(world: &World) -> Option<String> {
    let processes = world.records().processes.clone();
    processes.iter().find_map(|process| {
        let counted = process.runs()?.stats().started;
        let calls = world.calls.list().iter().filter(|call| call.life == process.life).count();
        let number = process.number;
        (counted != calls as u64)
            .then(|| format!("process {number} counts {counted} of {calls} calls"))
    })
}

impl Scheduler {
    pub(crate) fn new(mut rng: Rng, network: &Network) -> Self {
        let severities = [Severity::Calm, Severity::Disturbing, Severity::Losing];
        let severity = severities[rng.usize(..3)];
        let mut kinds = if rng.u8(..8) == 0 { Vec::new() } else { Kind::some(&mut rng, severity) };
        let severity = if kinds.is_empty() { Severity::Calm } else { severity };
        if network.is_cluster() {
            if severity == Severity::Losing {
                if rng.bool() {
                    kinds = Kind::some(&mut rng, Severity::Calm);
                }
                kinds.push(Kind::FailOver);
            }
            kinds.push(Kind::Move);
        }
        let settings = Settings::choose(&mut rng);
        network.log(|| format!("{severity:?}, faults: {kinds:?}, {settings:?}"));
        let world = World::new(network.clone(), settings.is_layered, settings.retain_bytes / 2);
        let clocks: Vec<_> = (0..PROCESSES).map(|_| rng.i64(-2_000..2_000)).collect();
        for (number, clock) in clocks.into_iter().enumerate() {
            let process = Process::start(&world, number, settings, clock);
            world.records().processes.push(process);
        }
        let (keys, victim) = (rng.usize(1..4), rng.usize(..PROCESSES));
        let clients = Vec::new();
        Self { world, settings, severity, kinds, keys, clients, victim, series: 0, rng }
    }

    /// Runs until the end, and returns what happened.
    pub(crate) async fn run(mut self) -> History {
        let network = self.world.network.clone();
        while self.world.records().processes.iter().any(|process| process.runs().is_none()) {
            sleep(Duration::from_millis(10)).await;
        }
        let fault_weight = if self.kinds.is_empty() { 0 } else { self.rng.u32(2..14) };
        for _ in 0..self.rng.usize(10..50) {
            self.step(fault_weight).await;
        }
        // What still ends must not hit what has begun again.
        network.heal();
        let healed_at = network.elapsed();
        self.start_missing();
        let mut faults = self.recover().await;
        faults.extend(check_keys(&network));
        if self.kinds.is_empty() {
            faults.extend(self.check_replaced().await);
        }
        faults.extend(check_counts(&self.world));
        if self.severity == Severity::Calm
            && let Some(process) = network.stays_redirected()
        {
            faults.push(format!("process {process} stays at a node that has redirected it"));
        }
        if network.is_exhausted() {
            faults.insert(0, "the processes repeat commands for ever".to_owned());
        }
        let history = History {
            healed_at,
            restores_claims: Kind::restore_claims(&self.kinds),
            check: self.settings.check(),
            ..History::of(&self.world, self.severity, self.settings.keep_all(), faults)
        };
        kill_all(&self.world).await;
        history
    }

    async fn step(&mut self, fault_weight: u32) {
        if self.series > 0 {
            self.series -= 1;
            match self.rng.u8(..8) {
                0..3 => self.add_client(),
                3 => self.stop_run(),
                _ => self.inject(),
            }
            let milliseconds =
                if self.rng.bool() { self.rng.u64(..10) } else { self.rng.u64(..1_000) };
            return sleep(Duration::from_millis(milliseconds)).await;
        }
        match self.rng.u32(..20 + fault_weight) {
            0..14 => self.add_client(),
            14..16 => self.stop_run(),
            16..20 => {}
            _ => {
                self.inject();
                self.series = if self.rng.bool() { self.rng.u32(1..6) } else { 0 };
            }
        }
        let milliseconds = match self.rng.u8(..20) {
            0..8 => self.rng.u64(..10),
            8..15 => self.rng.u64(..400),
            15..19 => self.rng.u64(..2_000),
            _ => self.rng.u64(..10_000),
        };
        sleep(Duration::from_millis(milliseconds)).await;
    }

    fn inject(&mut self) {
        let Some(kind) = self.rng.choice(&self.kinds).copied() else { return };
        let lease = u64::try_from(self.settings.lease.as_millis()).unwrap();
        let fault = kind.choose(&mut self.rng, PROCESSES, self.victim, lease);
        // A process that ends needs its time.
        if let Fault::Kill { process, .. } | Fault::Drain { process, .. } = fault
            && self.world.process(process).runs().is_none()
        {
            return;
        }
        fault.inject(&self.world, &mut self.rng, self.settings);
        if let Fault::FailOver { after, .. } = fault {
            // The replica lacks the claim of a key, which is requested again at once.
            let key = OWN_KEYS + self.clients.len();
            for most in [0, 50, 1_000] {
                let delay = if most == 0 { 0 } else { after + self.rng.u64(..most) };
                self.spawn_client_after(delay, key, ClientKind::Starts);
            }
        }
        if kind == Kind::Expire {
            // Before the owners notice that their claims have expired.
            (0..self.rng.usize(..4)).for_each(|_| self.add_client());
        }
    }

    fn add_client(&mut self) {
        let key = self.rng.usize(..self.keys);
        let kind = match self.rng.u8(..10) {
            0..7 => ClientKind::Starts,
            7 => ClientKind::Replaces,
            _ => ClientKind::Gets,
        };
        self.spawn_client(key, kind);
    }

    fn spawn_client(&mut self, key: usize, kind: ClientKind) {
        self.spawn_client_after(0, key, kind);
    }

    fn spawn_client_after(&mut self, delay: u64, key: usize, kind: ClientKind) {
        let client = Client {
            number: self.clients.len(),
            key,
            rng: self.rng.fork(),
            world: self.world.clone(),
            processes: PROCESSES,
            kind,
            stop: None,
        };
        self.clients.push(tokio::spawn(async move {
            if delay > 0 {
                sleep(Duration::from_millis(delay)).await;
            }
            client.run().await;
        }));
    }

    /// Stops a run at any process, with an id of the run or without one.
    fn stop_run(&mut self) {
        let number = self.rng.usize(..self.keys);
        let process = self.world.process(self.rng.usize(..PROCESSES));
        let with_id = self.rng.bool();
        let world = self.world.clone();
        let last = world.records().answers.iter().rev().find_map(|answer| {
            let event = answer.events.last().filter(|_| answer.key == number)?;
            Some(event.epoch.clone())
        });
        let epoch = last.filter(|_| with_id);
        let began = world.network.elapsed();
        let stop = {
            let mut records = world.records();
            records.stops.push(Stop::new(number, began, false));
            records.stops.len() - 1
        };
        world
            .network
            .log(|| format!("stop of key {number}, {epoch:?} at process {}", process.number));
        tokio::spawn(async move {
            let last = epoch.clone();
            let last = last.map(|epoch| LastEventId::try_from(format!("{epoch}-1")).unwrap());
            let gate = process.gate.clone();
            let stopping = gate.run(async move {
                let runs = process.runs()?;
                Some(runs.cancel(&key(number), last).await)
            });
            let stopped = stopping.await.flatten();
            world.network.log(|| format!("stop of key {number}: {stopped:?}"));
            // The simulation may have ended meanwhile, and taken its records.
            if let Some(stop) = world.records().stops.get_mut(stop) {
                stop.over = world.network.elapsed();
                stop.stopped = epoch.filter(|_| stopped == Some(true));
            }
        });
    }

    fn start_missing(&self) {
        for number in 0..PROCESSES {
            let process = self.world.process(number);
            process.gate.go_on();
            if process.gate.is_killed() {
                let started = Process::start(&self.world, number, self.settings, 0);
                self.world.records().processes[number] = started;
            }
        }
    }

    /// Waits until every client has its answer, and asks once more.
    async fn recover(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        self.wait_for_clients(RECOVERY, &mut faults).await;
        self.resume_whole(&mut faults).await;
        // Nobody else has this key.
        for key in self.keys..self.keys + PROCESSES {
            self.spawn_client(key, ClientKind::Starts);
        }
        self.wait_for_clients(RECOVERY, &mut faults).await;
        faults
    }

    async fn wait_for_clients(&mut self, within: Duration, faults: &mut Vec<String>) {
        let waiting = async {
            for client in &mut self.clients {
                if !client.is_finished() {
                    client.await.expect("no panic");
                }
            }
        };
        if timeout(within, waiting).await.is_err() {
            let records = self.world.records();
            let hanging = records.answers.iter().filter(|answer| answer.end.is_none());
            faults.extend(hanging.map(|answer| {
                let events = answer.events.len();
                format!(
                    "client {} hangs after {events} events of key {}",
                    answer.client, answer.key
                )
            }));
        }
    }

    /// Checks that the owners delete the runs that were replaced. They wait for two leases.
    async fn check_replaced(&self) -> Option<String> {
        sleep(self.settings.lease * 3).await;
        let left = self.world.network.streams_of_replaced_runs();
        (!left.is_empty()).then(|| format!("of runs that were replaced, {left:?} are left"))
    }

    /// Asks for more of answers that were whole. There must be nothing.
    async fn resume_whole(&mut self, faults: &mut Vec<String>) {
        let answers = self.world.records().answers.clone();
        for answer in answers.iter().filter(|answer| answer.end == Some(AnswerEnd::Whole)) {
            let process = self.world.process(self.rng.usize(..PROCESSES));
            let Some(event) = answer.events.last() else { continue };
            let id = LastEventId::try_from(format!("{}-{}", event.epoch, event.sequence)).unwrap();
            let number = answer.key;
            let gate = process.gate.clone();
            let asking = gate.run(async move {
                use futures_util::StreamExt as _;
                let run = process.runs()?.get(&key(number)).await?;
                let mut events = run.attach(id).await?;
                drop(run);
                Some(matches!(events.next().await, Some(Ok(_))))
            });
            match timeout(Duration::from_secs(60), asking).await {
                Ok(Some(Some(true))) => {
                    faults.push(format!("client {} gets more than the whole", answer.client));
                }
                Ok(_) => {}
                Err(_) => faults.push(format!("client {} waits after the end", answer.client)),
            }
        }
    }
}
