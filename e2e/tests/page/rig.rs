//! A real server with a hub, behind a proxy and a wire with faults.

use std::sync::RwLock;

use crate::*;

/// The directory of the module.
pub(crate) const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../page");

#[derive(Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// The interval of the heartbeats in milliseconds.
    pub(crate) beat: u64,
    /// The interval that the heartbeats tell, if the page's time is faster than the server's.
    pub(crate) told: u64,
    /// The range of all reconnection times in milliseconds, instead of the defaults.
    pub(crate) retry: Option<(u64, u64)>,
    /// How many events each topic keeps.
    pub(crate) kept: usize,
    /// The maximum age of streams in milliseconds, or 0 for none.
    pub(crate) max_age: u64,
    /// Whether bytes come in pieces.
    pub(crate) splits: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let (beat, told) = (15_000, 15_000);
        Self { beat, told, retry: None, kept: 1024, max_age: 0, splits: false }
    }
}

pub(crate) struct Rig {
    settings: Settings,
    pub(crate) wire: Wire,
    pub(crate) faults: Faults,
    running: Arc<RwLock<Running>>,
    broker: Mutex<MemoryBroker>,
}

/// A process of the server.
#[derive(Clone)]
pub(crate) struct Running {
    app: Router,
    pub(crate) hub: Hub,
    streams: Streams,
    shutdown: CancellationToken,
    /// Holds the last place while it's set.
    occupant: Arc<Mutex<Option<AbortHandle>>>,
}

impl Rig {
    /// Starts a server. `more` has the test's own routes, such as pages.
    pub(crate) async fn start(settings: Settings, more: Router) -> Self {
        let broker = MemoryBroker::new();
        let running = Arc::new(RwLock::new(Running::start(&settings, &broker).await));
        let faults = Faults::default();
        let current = Arc::clone(&running);
        let app = Router::new().fallback(any(async move |request: Request| {
            let app = current.read().unwrap().app.clone();
            app.oneshot(request).await
        }));
        let server = serve_axum(faults.around(app.merge(more))).await;
        let wire = Wire::to(server, settings.splits).await;
        Self { settings, wire, faults, running, broker: Mutex::new(broker) }
    }

    pub(crate) fn running(&self) -> Running {
        self.running.read().unwrap().clone()
    }

    pub(crate) async fn publish(&self, data: &str) {
        self.running().hub.publish("news", data).await.unwrap();
    }

    /// Publishes an event with a name, or ends the topic with it.
    pub(crate) async fn publish_named(&self, name: &str, data: &str, ends: bool) {
        let (hub, event) = (self.running().hub, Event::new().try_event(name).unwrap().data(data));
        let published =
            if ends { hub.end("news", event).await } else { hub.publish("news", event).await };
        published.unwrap();
    }

    /// Ends all streams cleanly.
    pub(crate) fn finish(&self) {
        self.running().streams.close_all();
    }

    /// Ends the process as at SIGTERM. Its port refuses connections.
    pub(crate) fn stop(&self) {
        self.running().shutdown.cancel();
        self.wire.listen(false);
    }

    /// Starts another process, with the events of the broker, or without any.
    pub(crate) async fn restart(&self, keeps: bool) {
        let broker = if keeps { self.broker.lock().unwrap().clone() } else { MemoryBroker::new() };
        let next = Running::start(&self.settings, &broker).await;
        *self.broker.lock().unwrap() = broker;
        let before = std::mem::replace(&mut *self.running.write().unwrap(), next);
        before.hub.close();
        self.wire.listen(true);
    }

    /// Takes the last place for streams, or makes it free.
    pub(crate) async fn occupy(&self, takes: bool) {
        self.running().occupy(takes).await;
    }
}

/// At most this many streams are open, so that tests can take the last place. Frozen streams take
/// places too.
const PLACES: usize = 100;

impl Running {
    async fn start(settings: &Settings, broker: &MemoryBroker) -> Self {
        let retention = Retention::new().events(settings.kept);
        let hub = Hub::builder().retention(retention).connect(broker.clone()).await.unwrap();
        let (streams, shutdown) = (Streams::new(), CancellationToken::new());
        let ms = Duration::from_millis;
        let beat =
            Heartbeat::every(ms(settings.beat)).event("heartbeat", settings.told.to_string());
        let layer = SseLayer::new()
            .for_pages()
            .heartbeat(beat)
            .streams(&streams)
            .shutdown(shutdown.clone())
            .max_streams(PLACES);
        let retry = settings.retry.map(|(min, max)| Retry::between(ms(min), ms(max)));
        let layer = match retry {
            None => layer,
            Some(retry) => layer
                .retry(retry)
                .drain(Drain::per_client().retry(retry))
                .refusal(Refusal::per_client().retry(retry)),
        };
        let layer = match settings.max_age {
            0 => layer,
            age => layer.max_age(MaxAge::new(ms(age))),
        };
        let app = Router::new().route("/events", get(events).post(events)).layer(layer);
        let app = app.with_state(hub.clone());
        Self { app, hub, streams, shutdown, occupant: Arc::default() }
    }

    pub(crate) fn app(&self) -> Router {
        self.app.clone()
    }

    async fn occupy(&self, takes: bool) {
        let before = self.occupant.lock().unwrap().take();
        if let Some(before) = before {
            before.abort();
        }
        if !takes {
            return;
        }
        let mut bodies = Vec::new();
        for _ in 0..PLACES {
            let request = Request::get("/events").body(Body::empty()).unwrap();
            bodies.push(self.app.clone().oneshot(request).await.unwrap());
        }
        let held = tokio::spawn(async move {
            let _bodies = bodies;
            std::future::pending::<()>().await;
        });
        *self.occupant.lock().unwrap() = Some(held.abort_handle());
    }
}

async fn events(
    State(hub): State<Hub>,
    subjects: Subjects,
    last: Option<LastEventId>,
) -> impl IntoResponse {
    subjects.add("page");
    hub.subscribe_to("news").resume(last).response()
}
