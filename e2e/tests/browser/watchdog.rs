//! The watchdogs of the page on clients, as they stand there, behind a proxy that freezes connections.

use std::future::pending;

use axum::routing::get;

use crate::relay::Relay;
use crate::*;

const PAGE: &str = include_str!("../../../docs/guide/clients.md");

/// The interval of the heartbeat here, in place of the 15 seconds.
const BEAT: Duration = Duration::from_millis(500);

/// Returns the block of the page that begins with this line, with the interval of these tests.
fn page_code(first: &str) -> String {
    let blocks = PAGE.split("```js\n").skip(1);
    let mut codes = blocks.map(|block| block.split_once("```").unwrap().0);
    let code = codes.find(|code| code.starts_with(first)).expect("a block");
    assert!(code.contains("const BEAT = 15_000;"), "{code}");
    code.replace("15_000", &BEAT.as_millis().to_string())
}

struct Rig {
    hub: Hub,
    streams: Arc<AtomicUsize>,
    frozen: Arc<Notify>,
    browser: Chromium,
    _relay: Relay,
}

impl Rig {
    /// Serves and opens a page with this script, through the proxy.
    async fn start(tools: &Tools, script: &str, modules: Router) -> Self {
        let (hub, streams) = (Hub::new(), Arc::<AtomicUsize>::default());
        let record = "const shown = []; const show = text => shown.push(text);";
        let page = Html(format!("<!doctype html><script>{record}</script>{script}"));
        let layer = SseLayer::new().heartbeat(Heartbeat::every(BEAT).event("heartbeat", "{}"));
        let routes = Router::new()
            .route("/events", get(events))
            .route("/page", get(page))
            .with_state((hub.clone(), Arc::clone(&streams)))
            .merge(modules)
            .layer(layer.last_event_id_query("last"));
        let frozen = Arc::new(Notify::new());
        let relay = freezable(serve_axum(routes).await, Arc::clone(&frozen)).await;
        let browser = Chromium::start(tools).await;
        browser.open(&format!("http://{}/page", relay.address)).await;
        let rig = Self { hub, streams, frozen, browser, _relay: relay };
        rig.until_opened(1).await;
        rig
    }

    async fn until_opened(&self, streams: usize) {
        until(|| self.streams.load(SeqCst) == streams).await;
    }

    async fn publish(&self, text: &'static str) {
        self.hub.publish("news", text).await.unwrap();
    }

    async fn shows(&self, texts: &[&str]) {
        let texts = json!(json!(texts).to_string());
        self.browser.until(&format!("JSON.stringify(shown) === {texts}")).await;
    }

    /// Checks that the page resumes after it was frozen and after its connection has died, and that
    /// nothing else makes it reconnect. Returns how many streams it had opened when it was awake again.
    async fn check(&self) -> usize {
        self.publish("one").await;
        self.shows(&["one"]).await;
        // The page sleeps. Its timer may run before the events that have come meanwhile.
        self.set_state("frozen");
        self.publish("asleep").await;
        tokio::time::sleep(5 * BEAT).await;
        self.set_state("active");
        self.shows(&["one", "asleep"]).await;
        let opened = self.streams.load(SeqCst);

        // The clock jumps, as after the computer has slept.
        let jump = "(now => Date.now = () => now() + 3_600_000)(Date.now)";
        self.browser.until(&format!("({jump}, true)")).await;
        tokio::time::sleep(7 * BEAT).await;
        assert_eq!(self.streams.load(SeqCst), opened, "heartbeats came");

        self.frozen.notify_waiters();
        self.publish("two").await;
        self.shows(&["one", "asleep", "two"]).await;
        self.publish("three").await;
        self.shows(&["one", "asleep", "two", "three"]).await;
        assert!(self.streams.load(SeqCst) > opened);
        opened
    }

    fn set_state(&self, state: &str) {
        self.browser.devtools("Page.setWebLifecycleState", json!({ "state": state }));
    }
}

async fn events(
    State((hub, streams)): State<(Hub, Arc<AtomicUsize>)>,
    last: Option<LastEventId>,
) -> impl IntoResponse {
    streams.fetch_add(1, SeqCst);
    hub.subscribe_to("news").resume(last).response()
}

/// Passes everything until it is notified, and nothing from then on. The connections stay open.
async fn freezable(server: SocketAddr, frozen: Arc<Notify>) -> Relay {
    Relay::start(server.port(), move |mut page, mut server| {
        let frozen = Arc::clone(&frozen).notified_owned();
        async move {
            tokio::select! {
                () = frozen => pending().await,
                _ = copy_bidirectional(&mut page, &mut server) => {}
            }
        }
    })
    .await
}

#[tokio::test]
async fn event_source_resumes_after_its_connection_froze() {
    let Some(tools) = Tools::find() else { return };
    let script = format!("<script>{}</script>", page_code("const BEAT"));
    assert_eq!(Rig::start(&tools, &script, Router::new()).await.check().await, 1);
}

#[tokio::test]
async fn fetch_resumes_after_its_connection_froze() {
    let (Some(tools), Some(package)) = (Tools::find(), clients::find_fetch_event_source()) else {
        return;
    };
    // Chromium 156 delivers nothing more to a `fetch` once its page was frozen, and reports no error.
    Rig::start(&tools, &fetch_script(), page(Some(package))).await.check().await;
}

fn fetch_script() -> String {
    let imports = json!({ "@microsoft/fetch-event-source": "/fetch-event-source/index.js" });
    format!(
        r#"<script type="importmap">{}</script><script type="module">{}</script>"#,
        json!({ "imports": imports }),
        page_code("import { fetchEventSource } from")
    )
}

/// A page may stand in place of the stream, such as one that asks for a log-in.
#[tokio::test]
async fn fetch_repeats_a_failure_but_not_a_refusal() {
    let (Some(tools), Some(package)) = (Tools::find(), clients::find_fetch_event_source()) else {
        return;
    };
    for (last, body) in [(StatusCode::UNAUTHORIZED, ""), (StatusCode::OK, "log in")] {
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        let events = async move || {
            let statuses = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS, last];
            (statuses[count.fetch_add(1, SeqCst).min(2)], body)
        };
        let note = "<script>onerror = text => window.failure = text</script>";
        let document = Html(format!("<!doctype html>{note}{}", fetch_script()));
        let routes = Router::new().route("/events", get(events)).route("/page", get(document));
        let address = serve_axum(routes.merge(page(Some(package.clone())))).await;
        let browser = Chromium::start(&tools).await;
        browser.open(&format!("http://{address}/page")).await;
        browser.until("window.failure").await;
        assert_eq!(asked.load(SeqCst), 3);
    }
}
