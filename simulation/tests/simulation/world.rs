use super::publications::number_of;
use crate::*;

/// The processes and clients of a simulation or of a scene, and what happened to them.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) processes: BTreeMap<usize, Process<Hub>>,
    /// The number of lives of all processes, including those that have ended.
    lives: usize,
    stopped: BTreeSet<usize>,
    pub(crate) clients: Vec<Client>,
    pub(crate) publications: Arc<Mutex<Vec<Publication>>>,
    /// The age after which Redis and the hubs drop events, if there is one.
    pub(crate) max_age: Option<Duration>,
    /// Whether a fault or the maximum age could remove entries.
    pub(crate) has_lost: bool,
    /// Whether a client's id could be too far ahead for a process.
    pub(crate) may_be_ahead: bool,
}

impl World {
    /// Starts the processes, and creates a client for each list of topics.
    pub(crate) fn new(
        network: Network,
        hubs: usize,
        topics: Vec<Vec<usize>>,
        max_age: Option<Duration>,
    ) -> Self {
        let clients = topics.into_iter().enumerate();
        let mut world = Self {
            network,
            processes: BTreeMap::new(),
            lives: 0,
            stopped: BTreeSet::new(),
            clients: clients.map(|(number, topics)| Client::new(number, topics)).collect(),
            publications: Arc::default(),
            max_age,
            // A process that is behind does not know what was trimmed, so it reports a gap.
            has_lost: max_age.is_some(),
            may_be_ahead: false,
        };
        (0..hubs).for_each(|number| world.start(number));
        world
    }

    fn start(&mut self, number: usize) {
        let (network, max_age) = (self.network.clone(), self.max_age);
        let connect = move |gate: &Gate| connect(network.clone(), gate.clone(), number, max_age);
        let process = Process::start(&self.network, number, self.lives, 0, connect);
        self.lives += 1;
        self.processes.insert(number, process);
    }

    /// Stops a process as a crash does and starts it again.
    pub(crate) fn restart(&mut self, number: usize) {
        self.network.log(|| format!("*** process {number} stops and starts again"));
        self.may_be_ahead = true;
        let process = &self.processes[&number];
        let life = process.life;
        process.kill();
        self.stopped.insert(life);
        self.clients.iter_mut().filter(|client| client.life() == Some(life)).for_each(Client::cut);
        self.start(number);
    }

    /// Disconnects a client, which then resumes at a process if that process's hub has connected.
    pub(crate) fn resume(&mut self, client: usize, hub: usize) {
        self.clients[client].cut();
        self.clients[client].resume(&self.network, &self.processes[&hub]);
    }

    /// Lets time pass, and then lets each client receive all messages that its hub has for it.
    pub(crate) async fn pass(&mut self, milliseconds: u64) {
        sleep(Duration::from_millis(milliseconds)).await;
        self.clients.iter_mut().for_each(|client| client.receive(&self.network, usize::MAX));
    }

    pub(crate) fn history(&mut self) -> History {
        let (overtaken, markers) = self.network.overtaken_and_markers();
        History {
            publications: mem::take(&mut *self.publications.lock().unwrap()),
            journals: self.clients.drain(..).map(|client| client.journal).collect(),
            stopped: mem::take(&mut self.stopped),
            kept: self.network.stream(),
            has_lost: self.has_lost,
            may_be_ahead: self.may_be_ahead,
            is_seen_at_once: false,
            calm: Vec::new(),
            overtaken: overtaken
                .iter()
                .filter_map(|it| Some((number_of(&it.fields)?, it.at)))
                .collect(),
            markers,
        }
    }
}

async fn connect(
    network: Network,
    gate: Gate,
    number: usize,
    max_age: Option<Duration>,
) -> Result<Hub, Error> {
    let redis = Redis::open(&format!("redis://process-{number}/")).unwrap();
    let mut broker = redis.broker("tower-sse");
    let mut builder = Hub::builder();
    if let Some(age) = max_age {
        (broker, builder) = (broker.max_age(age), builder.retention(Retention::new().age(age)));
    }
    let (health, stats) = (broker.health(), broker.stats());
    let hub = builder.connect(broker).await?;
    if network.is_logging() {
        tokio::spawn(gate.run(async move {
            let mut last = None;
            loop {
                let error = health.last_error().map(|error| error.to_string());
                let current = Some((health.is_ready(), error, stats.losses()));
                if current != last {
                    network.log(|| format!("hub {number}: {health:?}"));
                    last = current;
                }
                sleep(Duration::from_millis(1)).await;
            }
        }));
    }
    Ok(hub)
}
