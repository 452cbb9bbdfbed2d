use crate::*;

/// The network, settings, processes and records of one simulation, shared by all of its tasks.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) settings: Settings,
    processes: Arc<Mutex<BTreeMap<usize, Process<Program>>>>,
    records: Arc<Mutex<Records>>,
}

/// The runs that a process has connected to Redis, and their health.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) runs: Runs,
    pub(crate) health: Health,
}

#[derive(Clone, Default)]
pub(crate) struct Records {
    pub(crate) calls: Vec<Call>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) stops: Vec<Stop>,
    /// The key and the time of each request to start a run whose client was cut.
    pub(crate) cut_starts: Vec<(usize, u64)>,
    /// The outcomes that were reported to the program, by the run's epoch.
    pub(crate) reports: BTreeMap<String, Vec<Outcome>>,
    /// When Redis refused commands.
    pub(crate) refusals: Vec<Range<u64>>,
    /// Whether each life of a process was kept from reaching Redis in time, or was ended.
    pub(crate) disturbed: Vec<bool>,
    /// The faults that were found during the simulation.
    pub(crate) faults: Vec<String>,
}

/// A request to stop or to replace a run.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) key: usize,
    pub(crate) began: u64,
    /// The request can take effect until this time.
    pub(crate) over: u64,
    pub(crate) replaces: bool,
    /// The call that takes the place of the earlier call.
    pub(crate) call: Option<usize>,
    /// The epoch of the run, if the request named it and was granted.
    pub(crate) stopped: Option<String>,
}

impl World {
    /// Creates a world without processes. This thread serves their connections, tasks and clocks.
    pub(crate) fn new(network: Network, settings: Settings) -> Self {
        serve_this_thread(&network);
        Machines::serve_this_thread();
        Self { network, settings, processes: Arc::default(), records: Arc::default() }
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap()
    }

    pub(crate) fn processes(&self) -> MutexGuard<'_, BTreeMap<usize, Process<Program>>> {
        self.processes.lock().unwrap()
    }

    pub(crate) fn process(&self, number: usize) -> Process<Program> {
        self.processes()[&number].clone()
    }

    /// Starts a process for the first time or again, on a machine whose clock is ahead by a number
    /// of milliseconds.
    pub(crate) fn start(&self, number: usize, settings: Settings, clock: i64) {
        let life = add(&mut self.records().disturbed, false);
        let world = self.clone();
        let connect = move |gate: &Gate| connect(world.clone(), gate.clone(), number, settings);
        let process = Process::start(&self.network, number, life, clock, connect);
        self.processes().insert(number, process);
    }

    /// Starts a process again if it was killed.
    pub(crate) fn start_again(&self, number: usize, clock: i64) {
        if self.process(number).gate.is_killed() {
            self.start(number, self.settings, clock);
        }
    }

    pub(crate) async fn connect(&self) {
        let processes = self.processes().clone();
        tower_sse_simulation::connect(&processes).await;
    }

    pub(crate) fn fault(&self, fault: String) {
        self.records().faults.push(fault);
    }

    pub(crate) fn begin_answer(&self, key: usize) -> usize {
        add(&mut self.records().answers, Answer { key, ..Answer::default() })
    }

    pub(crate) fn begin_stop(&self, key: usize, replaces: bool) -> usize {
        let (began, over) = (self.network.elapsed(), u64::MAX);
        let stop = Stop { key, began, over, replaces, call: None, stopped: None };
        add(&mut self.records().stops, stop)
    }

    pub(crate) fn receive(&self, answer: usize, received: Received) {
        let Received { epoch, sequence, call, .. } = &received;
        self.network.log(|| format!("client {answer}: event {epoch}-{sequence} of call {call}"));
        self.records().answers[answer].events.push(received);
    }

    pub(crate) fn disturb(&self, process: usize) {
        let life = self.process(process).life;
        self.records().disturbed[life] = true;
    }

    pub(crate) fn disturb_all(&self) {
        self.records().disturbed.fill(true);
    }

    /// Records that Redis refuses commands for a time. Two refusals count as one if they are less
    /// than the interval of checks apart: a process may have no check between them.
    pub(crate) fn refuse(&self, milliseconds: u64) {
        let (began, check) = (self.network.elapsed(), self.settings.check());
        let over = began + milliseconds;
        let refusals = &mut self.records().refusals;
        match refusals.last_mut() {
            Some(last) if began < last.end + check => last.end = last.end.max(over),
            _ => refusals.push(began..over),
        }
    }

    /// Ends all processes. Their runs report to the world, which keeps the processes: without this,
    /// the world and the processes would leak. Waits until the tasks of the processes have ended,
    /// because the runtime would drop tasks in any order.
    pub(crate) async fn end(&self) {
        let processes = std::mem::take(&mut *self.processes());
        processes.values().for_each(Process::kill);
        sleep(Duration::from_millis(1)).await;
    }
}

async fn connect(
    world: World,
    gate: Gate,
    number: usize,
    settings: Settings,
) -> Result<Program, Error> {
    // Each process knows a different node of a cluster.
    let (url, prefix) = if world.network.is_cluster() {
        (format!("redis://process-{number}-node-{number}/"), "{app}")
    } else {
        (format!("redis://process-{number}/"), "app")
    };
    let redis = Redis::open(&url).unwrap().runs(prefix).lease(settings.lease);
    let health = redis.health();
    let builder = Runs::builder()
        .retain_bytes(settings.retain_bytes)
        .retain_for(settings.retain_for)
        .max_memory(settings.max_memory)
        .max_running_per_owner(1_000)
        .on_end(move |end: &RunEnd| {
            // A killed process reports nothing when its runs are dropped.
            if gate.is_killed() {
                return;
            }
            world.network.log(|| format!("report: {} {}", end.id(), end.outcome));
            world.records().reports.entry(end.id()).or_default().push(end.outcome);
        });
    Ok(Program { runs: builder.connect(redis).await?, health })
}
