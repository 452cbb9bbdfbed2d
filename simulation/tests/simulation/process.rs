use crate::*;

/// A process with a hub.
pub(crate) struct Process {
    pub(crate) number: usize,
    /// The number of this life: a process that starts again has another one.
    pub(crate) life: usize,
    hub: Arc<Mutex<Option<Hub>>>,
    pub(crate) stopped: CancellationToken,
}

impl Process {
    /// Starts a process, which connects its hub until it succeeds.
    pub(crate) fn start(
        network: &Network,
        number: usize,
        life: usize,
        max_age: Option<Duration>,
    ) -> Self {
        let hub = Arc::default();
        let stopped = CancellationToken::new();
        let connect = connect(network.clone(), number, max_age, Arc::clone(&hub));
        tokio::spawn(stopped.clone().run_until_cancelled_owned(connect));
        Self { number, life, hub, stopped }
    }

    /// Returns the hub, once it has connected.
    pub(crate) fn hub(&self) -> Option<Hub> {
        self.hub.lock().unwrap().clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

async fn connect(
    network: Network,
    number: usize,
    max_age: Option<Duration>,
    slot: Arc<Mutex<Option<Hub>>>,
) {
    loop {
        let redis = Redis::open(&format!("redis://process-{number}/")).unwrap();
        let mut broker = redis.broker("tower-sse");
        let mut builder = Hub::builder();
        if let Some(age) = max_age {
            (broker, builder) = (broker.max_age(age), builder.retention(Retention::new().age(age)));
        }
        let (health, stats) = (broker.health(), broker.stats());
        match builder.connect(broker).await {
            Ok(hub) => {
                network.log(|| format!("hub {number}: connected at {}", hub.position()));
                *slot.lock().unwrap() = Some(hub);
                return follow(network, number, health, stats).await;
            }
            Err(error) => {
                network.log(|| format!("hub {number}: {error:?}"));
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Logs the state of the connection when it changes, for readers of the log.
async fn follow(network: Network, number: usize, health: RedisHealth, stats: BrokerStats) {
    if !network.is_logging() {
        return;
    }
    let mut last = (true, None, 0);
    loop {
        let current = (health.is_ready(), health.last_error(), stats.losses());
        if current != last {
            network.log(|| format!("hub {number}: {health:?}"));
            last = current;
        }
        sleep(Duration::from_millis(1)).await;
    }
}
