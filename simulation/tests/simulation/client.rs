use crate::*;

/// A client, which is cut and resumes at the same or another process.
pub(crate) struct Client {
    number: usize,
    pub(crate) journal: Journal,
    last: Option<String>,
    connection: Option<Connection>,
}

struct Connection {
    life: usize,
    subscription: Subscription,
    decoder: Decoder,
    has_received: bool,
    /// Messages that the client has not received yet. They are lost when it is cut.
    sent: VecDeque<Message>,
}

impl Client {
    pub(crate) fn new(number: usize, topics: Vec<usize>) -> Self {
        let journal = Journal { topics, start: None, messages: Vec::new() };
        Self { number, journal, last: None, connection: None }
    }

    /// Returns the life of the process that the client is connected to.
    pub(crate) fn life(&self) -> Option<usize> {
        self.connection.as_ref().map(|connection| connection.life)
    }

    pub(crate) fn cut(&mut self) {
        self.connection = None;
    }

    /// Connects to a process, if its hub has connected.
    pub(crate) fn resume(&mut self, network: &Network, process: &Process) {
        let Some(hub) = process.hub() else { return };
        let last = self.last.clone().map(|last| LastEventId::try_from(last).unwrap());
        let greeting = Event::new().event("hello").data("");
        let topics = self.journal.topics.iter().map(ToString::to_string);
        let subscription = hub.subscribe(topics).greeting(greeting).resume(last);
        network.log(|| {
            let Self { number, last, .. } = self;
            format!("client {number}: resumes after {last:?} at hub {}", process.number)
        });
        self.connection = Some(Connection {
            life: process.life,
            subscription,
            decoder: Decoder::new(),
            has_received: false,
            sent: VecDeque::new(),
        });
        self.receive(network, usize::MAX);
    }

    /// Receives up to `count` messages that the hub has for this client.
    pub(crate) fn receive(&mut self, network: &Network, count: usize) {
        let Some(connection) = &mut self.connection else { return };
        // Waking is the subject of the models with loom. Here the clients poll, in a fixed order.
        while let Some(Some(item)) = unconstrained(connection.subscription.next()).now_or_never() {
            let mut bytes = item.as_bytes();
            while let Some(message) = connection.decoder.decode(&mut bytes).unwrap() {
                connection.sent.push_back(message);
            }
        }
        let life = connection.life;
        let mut is_first = !connection.has_received;
        let received = connection.sent.len().min(count);
        let messages: Vec<_> = connection.sent.drain(..received).collect();
        connection.has_received |= received > 0;
        for message in messages {
            self.record(network, life, is_first, &message);
            is_first = false;
        }
    }

    fn record(&mut self, network: &Network, life: usize, is_first: bool, message: &Message) {
        let Message { event, data, last_event_id, .. } = message;
        network.log(|| format!("client {}: {event} {data:?} {last_event_id}", self.number));
        self.last = Some(last_event_id.to_string());
        if event == "hello" {
            // After an id that the hub does not know, it greets again.
            self.journal.start = self.journal.start.or(sequence(last_event_id));
        } else {
            self.journal.messages.push(Received::of(message, network.elapsed(), life, is_first));
        }
    }
}

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
async fn follow(network: Network, number: usize, health: Health, stats: BrokerStats) {
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
