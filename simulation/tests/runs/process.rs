use super::{gate::Gate, world::Life};
use crate::*;

/// A process that shares runs.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) number: usize,
    /// The number of this life: a process that starts again has another one.
    pub(crate) life: usize,
    pub(crate) gate: Gate,
    runs: Arc<Mutex<Option<Runs>>>,
    health: Arc<Mutex<Option<RedisHealth>>>,
}

/// The settings of all processes of one simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) lease: Duration,
    pub(crate) retain_for: Duration,
    pub(crate) retain_bytes: usize,
    pub(crate) max_memory: usize,
    pub(crate) max_memory_per_owner: Option<usize>,
    pub(crate) is_layered: bool,
}

impl Settings {
    pub(crate) fn choose(rng: &mut Rng) -> Self {
        let retain_for = if rng.u8(..4) > 0 { 600_000 } else { [0, 300, 5_000][rng.usize(..3)] };
        let max_memory = if rng.u8(..6) > 0 { 2 << 30 } else { rng.usize(20_000..100_000) };
        // So that several runs fit into the memory of each.
        let retain_bytes = if max_memory < 2 << 30 { 4_000 } else { 2 << 20 };
        Self {
            lease: Duration::from_secs([2, 4, 8][rng.usize(..3)]),
            retain_for: Duration::from_millis(retain_for),
            retain_bytes,
            max_memory,
            max_memory_per_owner: None,
            is_layered: rng.bool(),
        }
    }

    /// Chooses the settings for many or large runs, without narrow limits.
    pub(crate) fn choose_for_crowd(rng: &mut Rng) -> Self {
        Self {
            lease: Duration::from_secs([2, 4][rng.usize(..2)]),
            retain_for: Duration::from_secs(600),
            retain_bytes: 8 << 20,
            max_memory: 4 << 30,
            max_memory_per_owner: None,
            is_layered: false,
        }
    }

    /// Returns whether every run that has completed is kept until the end of the simulation.
    pub(crate) fn keep_all(&self) -> bool {
        self.retain_for >= Duration::from_secs(600) && self.max_memory >= 2 << 30
    }
}

impl Process {
    /// Starts a process, which connects its runs until it succeeds.
    pub(crate) fn start(world: &World, number: usize, settings: Settings, clock: i64) -> Self {
        let mut records = world.records();
        let gate = Gate::new(clock);
        let life = records.lives.len();
        records.lives.push(Life { is_disturbed: false });
        drop(records);
        world.network.log(|| format!("process {number}: life {life}"));
        let process = Self { number, life, gate, runs: Arc::default(), health: Arc::default() };
        let connect = process.clone().connect(world.clone(), settings);
        tokio::spawn(process.gate.run(connect));
        process
    }

    /// Returns the runs, once they are connected.
    pub(crate) fn runs(&self) -> Option<Runs> {
        self.runs.lock().unwrap().clone()
    }

    /// Returns how often its connections to Redis were replaced, and why.
    pub(crate) fn reconnections(&self) -> Option<(u64, String)> {
        let health = self.health.lock().unwrap();
        let health = health.as_ref().filter(|health| health.reconnections() > 0)?;
        Some((health.reconnections(), health.last_error().unwrap_or_default()))
    }

    /// Ends the process at once.
    pub(crate) fn kill(&self) {
        self.gate.kill();
        // Otherwise this clone would keep them.
        self.runs.lock().unwrap().take();
    }

    async fn connect(self, world: World, settings: Settings) {
        loop {
            let redis = Redis::open(&format!("redis://process-{}/", self.number)).unwrap();
            let redis = redis.runs("app").lease(settings.lease);
            *self.health.lock().unwrap() = Some(redis.health());
            let (reporting, gate) = (world.clone(), self.gate.clone());
            let mut builder = Runs::builder();
            if let Some(bytes) = settings.max_memory_per_owner {
                builder = builder.max_memory_per_owner(bytes);
            }
            let builder = builder
                .retain_for(settings.retain_for)
                .retain_bytes(settings.retain_bytes)
                .max_memory(settings.max_memory)
                .max_running_per_owner(1_000)
                .on_end(move |end: &RunEnd| {
                    // What is dropped with a killed process does nothing.
                    if gate.is_killed() {
                        return;
                    }
                    reporting.network.log(|| format!("report: {} {}", end.id(), end.outcome));
                    let report = Report { epoch: end.id(), outcome: end.outcome };
                    reporting.records().reports.push(report);
                });
            match builder.connect(redis).await {
                Ok(runs) => {
                    world.network.log(|| format!("process {}: connected", self.number));
                    *self.runs.lock().unwrap() = Some(runs);
                    return;
                }
                Err(error) => {
                    world.network.log(|| format!("process {}: {error:?}", self.number));
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}
