//! The page code in the hub's module documentation, unchanged.

use axum::http::{HeaderMap, StatusCode};
use axum::{response::Response, routing::get};

use crate::*;

const MANUAL: &str = include_str!("../../../src/hub/mod.rs");

/// The functions that the page code expects of its page. They record their calls.
const RECORD: &str = "
    const seen = [];
    const show = text => seen.push(text);
    const reload = topic => seen.push('reload ' + topic);";

/// Returns the manual's first block of JavaScript. The other one is the page of the example
/// `ticker`.
fn page_code() -> String {
    let lines = MANUAL.lines().map_while(|line| line.strip_prefix("//!"));
    let text: String =
        lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect();
    let mut blocks = text.split("```js\n").skip(1);
    let (code, _) = blocks.next().expect("a block").split_once("```").unwrap();
    assert_eq!(blocks.count(), 1);
    code.to_owned()
}

#[derive(Clone)]
struct App {
    hub: Hub,
    requests: Arc<AtomicUsize>,
    /// Ends all streams.
    cut: Arc<Notify>,
    /// Whether the stream is over. Requests wait while this value is locked.
    is_over: Arc<RwLock<bool>>,
}

impl App {
    fn new() -> Self {
        Self {
            hub: Hub::builder().retention(Retention::new().events(1)).build(),
            requests: Arc::default(),
            cut: Arc::default(),
            is_over: Arc::default(),
        }
    }

    async fn serve(&self) -> SocketAddr {
        let code = page_code();
        let page = format!("<script>{RECORD}</script><script type=module>{code}</script>");
        let module = async |headers: HeaderMap| tower_sse::page::module(&headers);
        let routes = Router::new()
            .route("/", get(async || Html(page)))
            .route("/tower-sse.js", get(module))
            .route("/events", get(events))
            .with_state(self.clone());
        let retry = Retry::fixed(Duration::from_millis(20));
        serve_axum(routes.layer(SseLayer::new().for_pages().retry(retry))).await
    }

    async fn publish(&self, name: &'static str, data: &str) {
        let event = Event::new().event(name).data(data.to_owned());
        self.hub.publish("news", event).await.unwrap();
    }
}

async fn events(State(app): State<App>, last: Option<LastEventId>) -> Response {
    app.requests.fetch_add(1, SeqCst);
    if *app.is_over.read().await {
        return StatusCode::NO_CONTENT.into_response();
    }
    let stream = app.hub.subscribe_to("news").resume(last);
    let cut = app.cut.notified_owned();
    tower_sse::response(stream.take_until(cut)).into_response()
}

async fn open(app: &App, tools: &Tools, address: SocketAddr) -> Chromium {
    let browser = Chromium::start(tools).await;
    browser.open(&format!("http://{address}/")).await;
    browser.until("seen.includes('connected')").await;
    app.publish("headline", "one").await;
    browser.until("seen.includes('one')").await;
    browser
}

/// Returns what the page has shown.
async fn seen(browser: &Chromium) -> Value {
    browser.until("seen").await
}

#[tokio::test]
async fn page_shows_events_reloads_at_a_gap_and_stops_at_a_204() {
    let Some(tools) = Tools::find() else { return };
    let app = App::new();
    let address = app.serve().await;
    let browser = open(&app, &tools, address).await;
    assert_eq!(seen(&browser).await, json!(["connected", "one"]));

    let lock = app.is_over.write().await;
    app.cut.notify_waiters();
    browser.until("seen.includes('reconnecting')").await;
    app.publish("headline", "two").await;
    app.publish("headline", "three").await;
    drop(lock);
    browser.until("seen.includes('three')").await;
    let shown = ["connected", "one", "reconnecting", "connected", "reload news", "three"];
    assert_eq!(seen(&browser).await, json!(shown));
    assert_eq!(app.requests.load(SeqCst), 2);

    *app.is_over.write().await = true;
    app.cut.notify_waiters();
    browser.until("seen.includes('closed: 204')").await;
    let all = [&shown[..], &["reconnecting", "closed: 204"]].concat();
    assert_eq!(seen(&browser).await, json!(all));
    // The `EventSource` gets the `204`, and then the module, which asks why it stopped.
    assert_eq!(app.requests.load(SeqCst), 4);
}
