use http::request::Builder;
use hyper::client::conn::http1::SendRequest;
use serde::de::DeserializeOwned;

use crate::*;

/// The tasks of the server's clients, and a task that publishes.
pub(crate) struct Load {
    tasks: JoinSet<()>,
    client: Client,
}

impl Load {
    pub(crate) fn start(plan: &Arc<Plan>, address: SocketAddr) -> Self {
        let client = Client {
            plan: Arc::clone(plan),
            address,
            account: Arc::new(Account::default()),
            began: Instant::now(),
            stop: CancellationToken::new(),
        };
        let mut tasks: JoinSet<_> =
            (0..plan.streams).map(|number| client.clone().run(number)).collect();
        tasks.spawn(publish(client.clone()));
        Self { tasks, client }
    }

    pub(crate) async fn stop(self) -> Arc<Account> {
        self.client.stop.cancel();
        self.tasks.join_all().await;
        self.client.account
    }
}

/// Publishes to the current topics, and large events to a topic that is never replaced.
async fn publish(client: Client) {
    let mut control = Control::connect(client.address).await;
    let mut due = interval(client.plan.publish);
    let large = "x".repeat(1024);
    while !client.stop.is_cancelled() {
        due.tick().await;
        control.publish(&client.topic(), "news").await;
        control.publish(LARGE, &large).await;
    }
}

/// The size of a soak. All its other times are shorter than a quarter of its duration, so that the
/// second quarter is as full as the last one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) streams: usize,
    pub(crate) duration: Duration,
    /// The time between two samples of the curve.
    pub(crate) sample: Duration,
    /// The longest time for which a client listens. A client that never reads stays four times as
    /// long.
    pub(crate) stay: Duration,
    /// The time after which all topics are replaced by others.
    pub(crate) move_on: Duration,
    /// How long events and ended runs are kept.
    pub(crate) retention: Duration,
    pub(crate) abandon_after: Duration,
    /// The time between two events of a run.
    pub(crate) step: Duration,
    /// The interval at which the publisher publishes.
    pub(crate) publish: Duration,
}

/// The number of topics that have events at a time.
pub(crate) const TOPICS: usize = 40;
/// The number of events of a run that completes.
pub(crate) const EVENTS: usize = 20;

impl Plan {
    pub(crate) const fn short(duration: Duration) -> Self {
        Self {
            streams: 200,
            duration,
            sample: Duration::from_secs(1),
            stay: Duration::from_secs(2),
            move_on: Duration::from_secs(1),
            retention: Duration::from_secs(1),
            abandon_after: Duration::from_millis(500),
            step: Duration::from_millis(100),
            publish: Duration::from_millis(10),
        }
    }

    pub(crate) const fn long(duration: Duration) -> Self {
        Self {
            streams: 2_000,
            duration,
            sample: Duration::from_secs(10),
            stay: Duration::from_secs(40),
            move_on: Duration::from_secs(15),
            retention: Duration::from_secs(20),
            abandon_after: Duration::from_secs(5),
            step: Duration::from_secs(1),
            publish: Duration::from_millis(20),
        }
    }

    /// Returns how many streams may be open at a time. The limit leaves room for streams whose
    /// clients have left unnoticed so far.
    pub(crate) const fn max_streams(&self) -> usize {
        self.streams + self.streams / 4
    }

    pub(crate) fn file(&self, extension: &str) -> String {
        format!("soak-{}-streams.{extension}", self.streams)
    }
}

/// One connection to the server, for calls that are no streams.
pub(crate) struct Control(SendRequest<Full<Bytes>>);

impl Control {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(connect_h1(address).await)
    }

    pub(crate) async fn figures(&mut self) -> Figures {
        self.call(Request::get("/figures"), "").await.unwrap()
    }

    /// Publishes an event and returns whether it was acknowledged.
    pub(crate) async fn publish(&mut self, topic: &str, text: &str) -> bool {
        self.call(Request::post(format!("/publish/{topic}")), text).await.unwrap()
    }

    /// Has the server end all streams and refuse new ones.
    pub(crate) async fn drain(&mut self) {
        _ = self.call::<()>(Request::post("/drain"), "").await;
    }

    /// Returns `None` if the answer is empty.
    async fn call<T: DeserializeOwned>(&mut self, request: Builder, text: &str) -> Option<T> {
        let request = request.header("host", "localhost").body(Full::from(text.to_owned()));
        soon(self.0.ready()).await.unwrap();
        let response = soon(self.0.send_request(request.unwrap())).await.unwrap();
        assert!(response.status().is_success(), "{response:?}");
        let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
        (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap())
    }
}
