//! Two pages as a new user writes them after the guide: a dashboard of newest values, and
//! notifications with a logout behind a service worker. Each lives through its failures.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use browser::Tools;
use chromium::Chromium;

use crate::*;

const DASHBOARD: &str = "<!doctype html><p id=state></p><ul id=list></ul><script type=module>
    import { EventStream } from '/tower-sse.js';
    const rows = {};
    const become = state => { document.querySelector('#state').textContent = state; };
    const show = (name, value) => {
      rows[name] ??= list.appendChild(document.createElement('li'));
      rows[name].textContent = `${name} ${value}`;
    };
    const source = new EventStream('/events', { poll: 8 });
    source.onopen = () => become('connected');
    source.onmessage = event => show(...event.data.split(' '));
    source.addEventListener('gap', event => show(JSON.parse(event.data).topic, '?'));
    source.onerror = ({ status }) =>
      become(source.readyState === EventStream.CLOSED ? `closed: ${status}` : 'reconnecting');
    </script>";

const NOTIFICATIONS: &str = "<!doctype html><p id=state></p><ul id=list></ul><script type=module>
    import { EventStream } from '/tower-sse.js';
    const become = state => { document.querySelector('#state').textContent = state; };
    const show = text => {
      if (document.getElementById(text)) return; // in the state and live
      const row = document.createElement('li');
      row.id = row.textContent = text;
      list.append(row);
    };
    await navigator.serviceWorker.register('/worker.js');
    while (!navigator.serviceWorker.controller) await new Promise(wake => setTimeout(wake, 20));
    const source = new EventStream('/events');
    source.onopen = () => become('connected');
    source.addEventListener('unread', ({ data }) => {
      list.replaceChildren();
      JSON.parse(data).forEach(show);
    });
    source.onmessage = ({ data }) => show(data);
    source.onerror = ({ status }) => become(status === 401 ? 'log in' : 'reconnecting');
    </script>";

/// An app's worker that answers each request, without a thought of streams.
const WORKER: &str = "addEventListener('install', () => skipWaiting());
    addEventListener('activate', event => event.waitUntil(clients.claim()));
    addEventListener('fetch', event => event.respondWith(fetch(event.request)));";

/// A process that can be replaced, behind a proxy and a wire with faults.
struct Site {
    app: Arc<RwLock<Router>>,
    faults: Faults,
    wire: Wire,
    browser: Chromium,
    shutdown: CancellationToken,
}

impl Site {
    async fn open(page: &'static str, streams: impl Fn(SseLayer) -> Router) -> Option<Self> {
        let tools = Tools::find()?;
        let app = Arc::new(RwLock::new(Router::new()));
        let (current, faults) = (Arc::clone(&app), Faults::default());
        let module = async |headers: HeaderMap| tower_sse::page::module(&headers);
        let pages = Router::new()
            .route("/", get(Html(page)))
            .route("/tower-sse.js", get(module))
            .route("/worker.js", get(([("content-type", "text/javascript")], WORKER)))
            .fallback(any(async move |request: Request| {
                let app = current.read().unwrap().clone();
                app.oneshot(request).await
            }));
        let wire = Wire::to(serve_axum(faults.around(pages)).await, false).await;
        let browser = Chromium::start(&tools).await;
        let shutdown = CancellationToken::new();
        let mut site = Self { app, faults, wire, browser, shutdown };
        site.run(streams);
        site.browser.open(&format!("http://{}/", site.wire.address)).await;
        Some(site)
    }

    /// Starts a process with these streams.
    fn run(&mut self, streams: impl Fn(SseLayer) -> Router) {
        self.shutdown = CancellationToken::new();
        let beat = Heartbeat::every(Duration::from_millis(500)).for_pages();
        let layer = SseLayer::new().for_pages().heartbeat(beat).shutdown(self.shutdown.clone());
        *self.app.write().unwrap() = streams(layer);
    }

    async fn shows(&self, rows: &[&str], state: &str) {
        let shown = "[...document.querySelectorAll('li')].map(row => row.textContent).join()";
        let state = format!("document.querySelector('#state').textContent === '{state}'");
        let rows = json!(rows.join(","));
        self.browser.until(&format!("{shown} === {rows} && {state}")).await;
    }

    /// Answers with `502` for 8 seconds, after all connections have broken.
    async fn outage(&self) {
        self.faults.set("502");
        self.wire.cut();
        sleep(Duration::from_secs(8)).await;
        self.faults.set("pass");
    }

    /// Replaces the process as a deployment does, with 5 seconds in between.
    async fn deploy(&mut self, streams: impl Fn(SseLayer) -> Router) {
        self.shutdown.cancel();
        self.wire.listen(false);
        sleep(Duration::from_secs(5)).await;
        self.run(streams);
        self.wire.listen(true);
    }
}

fn values(hub: &Hub) -> impl Fn(SseLayer) -> Router {
    let events = async |State(hub): State<Hub>, last: Option<LastEventId>| {
        let window = Duration::from_millis(20);
        hub.subscribe(["AAPL", "MSFT"]).flush_window(window).resume(last).response()
    };
    move |layer| Router::new().route("/events", get(events)).layer(layer).with_state(hub.clone())
}

fn with_values(value: u32) -> Hub {
    let hub = Hub::builder().retention(Retention::latest()).build();
    for symbol in ["AAPL", "MSFT"] {
        _ = hub.publish_now(symbol, format!("{symbol} {value}")).unwrap();
    }
    hub
}

#[tokio::test]
async fn dashboard_of_a_new_user_lives_through_its_failures() {
    let hub = with_values(1);
    let Some(mut site) = Site::open(DASHBOARD, values(&hub)).await else { return };
    site.shows(&["AAPL 1", "MSFT 1"], "connected").await;
    site.wire.freeze();
    _ = hub.publish_now("AAPL", "AAPL 2").unwrap();
    site.shows(&["AAPL 2", "MSFT 1"], "connected").await;
    site.outage().await;
    _ = hub.publish_now("MSFT", "MSFT 2").unwrap();
    site.shows(&["AAPL 2", "MSFT 2"], "connected").await;
    let hub = with_values(3);
    site.deploy(values(&hub)).await;
    site.shows(&["AAPL 3", "MSFT 3"], "connected").await;
    for symbol in ["AAPL", "MSFT"] {
        hub.end(symbol, format!("{symbol} 4")).await.unwrap();
    }
    site.shows(&["AAPL 4", "MSFT 4"], "closed: 204").await;
    let asked = site.faults.asked().len();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(site.faults.asked().len(), asked, "requests after the end");
}

/// A session whose user has these unread notifications.
#[derive(Clone, Default)]
struct Session {
    streams: Streams,
    unread: Arc<Mutex<Vec<&'static str>>>,
    is_over: Arc<AtomicBool>,
}

impl Session {
    fn events(&self, hub: &Hub) -> impl Fn(SseLayer) -> Router {
        let events = async |State((it, hub)): State<(Self, Hub)>, subjects: Subjects| {
            if it.is_over.load(SeqCst) {
                return Err(StatusCode::UNAUTHORIZED);
            }
            subjects.add("session");
            let position = hub.position();
            let unread = json!(*it.unread.lock().unwrap()).to_string();
            let unread = Event::new().event("unread").data(unread);
            Ok(hub.subscribe_to("ann").since(position).greeting(unread).resume(None).response())
        };
        let state = (self.clone(), hub.clone());
        move |layer| {
            let layer = layer.streams(&state.0.streams);
            Router::new().route("/events", get(events)).layer(layer).with_state(state.clone())
        }
    }

    async fn notify(&self, hub: &Hub, text: &'static str) {
        self.unread.lock().unwrap().push(text);
        hub.publish("ann", text).await.unwrap();
    }
}

#[tokio::test]
async fn notifications_of_a_new_user_live_through_their_failures() {
    let (session, hub) = (Session::default(), Hub::new());
    let Some(mut site) = Site::open(NOTIFICATIONS, session.events(&hub)).await else { return };
    site.shows(&[], "connected").await;
    session.notify(&hub, "one").await;
    site.shows(&["one"], "connected").await;
    site.wire.freeze();
    session.notify(&hub, "two").await;
    site.shows(&["one", "two"], "connected").await;
    site.outage().await;
    session.notify(&hub, "three").await;
    site.shows(&["one", "two", "three"], "connected").await;
    let hub = Hub::new();
    site.deploy(session.events(&hub)).await;
    session.notify(&hub, "four").await;
    site.shows(&["one", "two", "three", "four"], "connected").await;
    session.is_over.store(true, SeqCst);
    session.streams.close("session").await.unwrap();
    site.shows(&["one", "two", "three", "four"], "log in").await;
    let asked = site.faults.asked().len();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(site.faults.asked().len(), asked, "requests after the logout");
}
