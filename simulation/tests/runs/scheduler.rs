use super::faults::{FAIL_OVER, Kind as FaultKind, MOVE, REPLICA};
use crate::*;

pub(crate) const PROCESSES: usize = 3;
/// The time in which every client must have its answer after the faults have ended: the longest
/// call takes two minutes.
const RECOVERY: Duration = Duration::from_secs(240);

/// The first of the keys that only the clients of [`Cluster::race_for_a_key`] ask for.
const OWN_KEYS: usize = 100;

/// The processes and clients of one simulation, and what may happen to them.
pub(crate) struct Cluster {
    pub(crate) rng: Rng,
    pub(crate) network: Network,
    pub(crate) world: World,
    severity: Severity,
    kinds: Vec<FaultKind>,
    keys: usize,
    clients: JoinSet<()>,
    /// The process that most faults hit.
    victim: usize,
}

impl Cluster {
    pub(crate) fn new(mut rng: Rng, network: Network) -> Self {
        let severities = [Severity::Calm, Severity::Disturbing, Severity::Losing];
        let mut severity = severities[rng.usize(..3)];
        let mut kinds = FaultKind::some(&mut rng, severity);
        if rng.u8(..8) == 0 {
            (kinds, severity) = (vec![REPLICA; rng.usize(..2)], Severity::Calm);
        }
        if network.is_cluster() {
            if severity == Severity::Losing {
                if rng.bool() {
                    kinds = FaultKind::some(&mut rng, Severity::Calm);
                }
                kinds.push(FAIL_OVER);
            }
            kinds.push(MOVE);
        }
        let settings = Settings::choose(&mut rng);
        let names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
        network.log(|| format!("{severity:?}, faults: {names:?}, {settings:?}"));
        let world = World::new(network.clone(), settings);
        (0..PROCESSES).for_each(|number| world.start(number, settings, rng.i64(-2_000..2_000)));
        let (keys, victim, clients) = (rng.usize(1..4), rng.usize(..PROCESSES), JoinSet::new());
        Self { rng, network, world, severity, kinds, keys, clients, victim }
    }

    /// Runs until the end and returns what happened.
    pub(crate) async fn run(mut self) -> History {
        self.world.connect().await;
        let steps = self.rng.usize(10..50);
        self.play(steps, !self.kinds.is_empty()).await;
        // The faults of the network end before processes go on or start again.
        self.network.heal();
        let healed_at = self.network.elapsed();
        for number in 0..PROCESSES {
            self.world.process(number).gate.set(Mode::Running);
            self.world.start_again(number, 0);
        }
        self.recover().await;
        // In this time, other processes report the runs of processes that died.
        sleep(self.world.settings.lease * 8).await;
        let is_quiet = self.kinds.iter().all(|kind| kind.name == REPLICA.name);
        let replaced = if is_quiet { self.check_replaced().await } else { None };
        let redirected = self.network.stays_redirected();
        let redirected = redirected
            .filter(|_| self.severity == Severity::Calm)
            .map(|process| format!("process {process} stays at a node that has redirected it"));
        let faults = replaced.into_iter().chain(redirected);
        let mut history = History::of(&self.world, self.severity, faults);
        history.healed_at = healed_at;
        history.is_quiet = is_quiet;
        history.keeps_lists = FaultKind::keep_lists(&self.kinds);
        history.restores_claims = FaultKind::restore_claims(&self.kinds);
        self.world.end().await;
        history
    }

    pub(crate) fn add_client(&mut self) {
        let key = self.rng.usize(..self.keys);
        let kind = match self.rng.u8(..10) {
            0..7 => Kind::Starts,
            7 => Kind::Replaces,
            _ => Kind::Gets,
        };
        self.spawn_client(0, key, kind);
    }

    /// Requests a key at once, and twice more soon after `time` milliseconds, when a replica
    /// without the key's claim may have taken over.
    pub(crate) fn race_for_a_key(&mut self, time: u64) {
        let key = OWN_KEYS + self.clients.len();
        let delays = [0, time + self.rng.u64(..50), time + self.rng.u64(..1_000)];
        delays.into_iter().for_each(|delay| self.spawn_client(delay, key, Kind::Starts));
    }

    fn spawn_client(&mut self, delay: u64, key: usize, kind: Kind) {
        let client = Client::new(&self.world, self.rng.fork(), key, kind, Habit::Roams);
        self.clients.spawn(async move {
            if delay > 0 {
                sleep(Duration::from_millis(delay)).await;
            }
            client.run().await;
        });
    }

    /// Stops a run at any process, with an id of the run or without one.
    fn stop_run(&mut self) {
        let number = self.rng.usize(..self.keys);
        let process = self.world.process(self.rng.usize(..PROCESSES));
        let with_id = self.rng.bool();
        let world = self.world.clone();
        let stop = world.begin_stop(number, false);
        let last = {
            let answers = &world.records().answers;
            let mut of_key = answers.iter().rev().filter(|answer| answer.key == number);
            of_key.find_map(Answer::last).filter(|_| with_id)
        };
        let at = process.number;
        self.network.log(|| format!("stop of key {number}, {last:?} at process {at}"));
        tokio::spawn(async move {
            let (id, key) = (last.clone(), world.settings.key(number));
            let gate = process.gate.clone();
            let stopping =
                gate.run(async move { Some(process.get()?.runs.cancel(&key, id).await) });
            let stopped = stopping.await.flatten();
            world.network.log(|| format!("stop of key {number}: {stopped:?}"));
            let stop = &mut world.records().stops[stop];
            stop.over = world.network.elapsed();
            let last = last.filter(|_| stopped == Some(true));
            stop.stopped = last.map(|id| id.as_str().split_once('-').unwrap().0.to_owned());
        });
    }

    /// Waits until every client has its answer, asks for events after the whole answers, and starts
    /// runs with new keys.
    async fn recover(&mut self) {
        self.wait_for_clients().await;
        self.resume_whole().await;
        // No other client asks for these keys.
        for key in self.keys..self.keys + PROCESSES {
            self.spawn_client(0, key, Kind::Starts);
        }
        self.wait_for_clients().await;
    }

    async fn wait_for_clients(&mut self) {
        let waiting = async {
            while let Some(ended) = self.clients.join_next().await {
                ended.expect("no panic");
            }
        };
        if timeout(RECOVERY, waiting).await.is_err() {
            let answers = self.world.records().answers.clone();
            for (number, answer) in answers.iter().enumerate().filter(|(_, it)| it.end.is_none()) {
                let (events, key) = (answer.events.len(), answer.key);
                let fault = format!("client {number} hangs after {events} events of key {key}");
                self.world.fault(fault);
            }
        }
    }

    /// Checks that the owners have deleted the runs that were replaced, which they do two leases
    /// later.
    async fn check_replaced(&self) -> Option<String> {
        sleep(self.world.settings.lease * 3).await;
        let left = self.network.streams_of_replaced_runs();
        (!left.is_empty()).then(|| format!("of runs that were replaced, {left:?} are left"))
    }

    /// Asks for events after the last one of each whole answer. There must be none.
    async fn resume_whole(&mut self) {
        let answers = self.world.records().answers.clone();
        for (number, answer) in answers.into_iter().enumerate() {
            let whole = answer.last().filter(|_| answer.end == Some(AnswerEnd::Whole));
            let Some(last) = whole else { continue };
            let process = self.world.process(self.rng.usize(..PROCESSES));
            let key = self.world.settings.key(answer.key);
            let gate = process.gate.clone();
            let asking = gate.run(async move {
                let run = process.get()?.runs.get(&key).await?;
                let mut events = run.attach(last).await?;
                drop(run);
                Some(matches!(events.next().await, Some(Ok(_))))
            });
            match timeout(Duration::from_secs(60), asking).await {
                Ok(Some(Some(true))) => {
                    self.world.fault(format!("client {number} gets more than the whole"));
                }
                Ok(_) => {}
                Err(_) => self.world.fault(format!("client {number} waits after the end")),
            }
        }
    }
}

impl Scheduler for Cluster {
    const PACE: Pace = Pace {
        calm: 20,
        series: 6,
        pauses: [
            10, 10, 10, 10, 10, 10, 10, 10, 400, 400, 400, 400, 400, 400, 400, 2_000, 2_000, 2_000,
            2_000, 10_000,
        ],
        short_pauses: [10, 1_000],
    };

    fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    async fn act(&mut self, choice: u32) {
        match choice {
            0..14 => self.add_client(),
            14..16 => self.stop_run(),
            _ => {}
        }
    }

    async fn inject(&mut self) {
        let kind = self.kinds[self.rng.usize(..self.kinds.len())];
        let process = choose_near(&mut self.rng, self.victim, PROCESSES);
        (kind.inject)(self, process);
    }

    async fn pass(&mut self, milliseconds: u64) {
        sleep(Duration::from_millis(milliseconds)).await;
    }
}
