//! The watchdogs of the guide's page on clients, behind a proxy that freezes connections. Also what
//! the page's programs do after failures, refusals and clean ends.

use std::future::pending;

use axum::routing::get;

use crate::relay::Relay;
use crate::*;

const PAGE: &str = include_str!("../../../docs/guide/clients.md");

/// The interval of the heartbeat in these tests, in place of the guide's 15 seconds.
const BEAT: Duration = Duration::from_millis(500);

/// Returns the guide's code block that begins with this line, with this interval of the heartbeat.
fn page_code(first: &str, beat: Duration) -> String {
    let blocks = PAGE.split("```js\n").skip(1);
    let mut codes = blocks.map(|block| block.split_once("```").unwrap().0);
    let code = codes.find(|code| code.starts_with(first)).expect("a block");
    assert!(code.contains("const BEAT = 15_000;"), "{code}");
    code.replace("15_000", &beat.as_millis().to_string())
}

/// A short reconnection time.
const SOON: Duration = Duration::from_millis(50);

/// Returns the page with the guide's watchdog, which also listens to these names.
fn watched(names: &str) -> Html<String> {
    let code =
        page_code("const BEAT", BEAT).replace("\"heartbeat\"]", &format!("\"heartbeat\"{names}]"));
    Html(format!("<!doctype html><script>{RECORD}{code}</script>"))
}

const RECORD: &str =
    "const shown = [], show = text => shown.push(text), reload = () => show('gap');";

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
        let layer = SseLayer::new().heartbeat(Heartbeat::every(BEAT).event("heartbeat", "{}"));
        Self::start_with(tools, script, modules, layer).await
    }

    async fn start_with(tools: &Tools, script: &str, modules: Router, layer: SseLayer) -> Self {
        let (hub, streams) = (Hub::new(), Arc::<AtomicUsize>::default());
        let page = Html(format!("<!doctype html><script>{RECORD}</script>{script}"));
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
        until(|| self.streams.load(SeqCst) >= streams).await;
    }

    async fn publish(&self, text: &'static str) {
        self.hub.publish("news", text).await.unwrap();
    }

    async fn shows(&self, texts: &[&str]) {
        let texts = json!(json!(texts).to_string());
        self.browser.until(&format!("JSON.stringify(shown) === {texts}")).await;
    }

    /// Checks that the page resumes after it was frozen and after its connection has died, and that
    /// nothing else makes it reconnect. Returns how many streams it had opened when it was awake
    /// again.
    async fn check(&self) -> usize {
        self.publish("one").await;
        self.shows(&["one"]).await;
        // The page sleeps. When it wakes, its timer may run before the events that came meanwhile.
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

/// Starts a relay. When `frozen` is notified, the open connections stay open and pass nothing more.
pub(crate) async fn freezable(server: SocketAddr, frozen: Arc<Notify>) -> Relay {
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
    let script = format!("<script>{}</script>", page_code("const BEAT", BEAT));
    assert_eq!(Rig::start(&tools, &script, Router::new()).await.check().await, 1);
}

#[tokio::test]
async fn event_source_is_reopened_after_an_outage() {
    let Some(tools) = Tools::find() else { return };
    let (hub, outage) = (Hub::new(), Outage::default());
    let app = Router::new().route("/events", get(events)).route("/page", get(watched("")));
    let app = app.with_state((hub.clone(), Arc::<AtomicUsize>::default()));
    let app = app.layer(SseLayer::new().last_event_id_query("last").retry(SOON));
    let relay = Relay::to(serve_axum(outage.around(app)).await.port()).await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/page", relay.address)).await;
    browser.until("(Math.random = () => 0, source.readyState === 1)").await;
    outage.begin(&relay).await;
    hub.publish("news", "one").await.unwrap();
    outage.end();
    browser.until("shown.join() === 'one'").await;
}

/// The topic ends with an event that has a name. If the page doesn't listen to this name, it asks
/// with an older id, so for the server, it isn't over.
#[tokio::test]
async fn page_of_an_ended_topic_asks_for_the_status_once() {
    let Some(tools) = Tools::find() else { return };
    for (names, is_over) in [(", \"done\"", true), ("", false)] {
        let (hub, asked) = (Hub::new(), Arc::<Mutex<Vec<Method>>>::default());
        let methods = Arc::clone(&asked);
        let note = move |method: Method, it: State<_>, last| {
            methods.lock().unwrap().push(method);
            events(it, last)
        };
        let app = Router::new().route("/events", get(note)).route("/page", get(watched(names)));
        let app = app.with_state((hub.clone(), Arc::<AtomicUsize>::default()));
        let layer = SseLayer::new().last_event_id_query("last").retry(SOON);
        let browser = Chromium::start(&tools).await;
        let address = serve_axum(app.layer(layer)).await;
        browser.open(&format!("http://{address}/page")).await;
        browser.until("(Math.random = () => 0, source.readyState === 1)").await;
        hub.publish("news", "one").await.unwrap();
        browser.until("shown.join() === 'one'").await;
        hub.end("news", Event::new().event("done").data("{}")).await.unwrap();
        let count = || asked.lock().unwrap().iter().filter(|it| **it == Method::HEAD).count();
        until(|| count() == if is_over { 1 } else { 5 }).await;
        if is_over {
            // As long as a page that isn't over takes for many requests.
            tokio::time::sleep(40 * SOON).await;
            assert_eq!(asked.lock().unwrap()[1..], [Method::GET, Method::HEAD]);
            browser.until("source.readyState === EventSource.CLOSED").await;
        }
    }
}

#[tokio::test]
async fn fetch_resumes_after_its_connection_froze() {
    let (Some(tools), Some(package)) = (Tools::find(), clients::find_fetch_event_source()) else {
        return;
    };
    // Chromium 156 delivers nothing more to a `fetch` once its page was frozen, and reports no
    // error.
    Rig::start(&tools, &fetch_script(BEAT), page(Some(package))).await.check().await;
}

pub(crate) fn fetch_script(beat: Duration) -> String {
    let imports = json!({ "@microsoft/fetch-event-source": "/fetch-event-source/index.js" });
    format!(
        r#"<script type="importmap">{}</script><script type="module">{}</script>"#,
        json!({ "imports": imports }),
        page_code("import { fetchEventSource } from", beat)
    )
}

/// Instead of the stream, the response may be an HTML page, such as one that asks for a log-in.
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
        let document = Html(format!("<!doctype html>{note}{}", fetch_script(BEAT)));
        let routes = Router::new().route("/events", get(events)).route("/page", get(document));
        let address = serve_axum(routes.merge(page(Some(package.clone())))).await;
        let browser = Chromium::start(&tools).await;
        browser.open(&format!("http://{address}/page")).await;
        browser.until("window.failure").await;
        assert_eq!(asked.load(SeqCst), 3);
    }
}

/// Here the layer ends streams cleanly, as a proxy that hides a broken connection does.
#[tokio::test]
async fn fetch_goes_on_after_clean_ends_until_the_last_event() {
    let (Some(tools), Some(package)) = (Tools::find(), clients::find_fetch_event_source()) else {
        return;
    };
    let script = format!(
        "{};window.isOver=true;</script>",
        fetch_script(BEAT).trim_end_matches("</script>")
    );
    let age = MaxAge::new(Duration::from_millis(200)).grace(Duration::ZERO);
    let layer = SseLayer::new().client_kind(ClientKind::EventSource).max_age(age);
    let layer = layer.retry(Duration::from_millis(50));
    let rig = Rig::start_with(&tools, &script, clients::modules(package), layer).await;
    for (opened, text) in [(2, "one"), (4, "two")] {
        until(|| rig.streams.load(SeqCst) >= opened).await;
        rig.publish(text).await;
    }
    rig.shows(&["one", "two"]).await;
    rig.hub.publish("news", Event::new().event("done").data("")).await.unwrap();
    rig.browser.until("window.isOver").await;
    until(|| rig.hub.stats().subscribers == 0).await;
}

/// Returns the page's function that posts, without its types.
fn ask() -> String {
    let blocks = PAGE.split("```ts\n").skip(1);
    let mut codes = blocks.map(|block| block.split_once("```").unwrap().0);
    let code = codes.find(|code| code.contains("function ask(")).expect("a block");
    [": string", ": (text) => void", ": Promise<void>"]
        .iter()
        .fold(code.to_owned(), |code, kind| code.replace(kind, ""))
        .replace("export async function", "window.ask = async function")
}

#[tokio::test]
async fn answer_without_its_last_event_is_half_an_answer() {
    let (Some(tools), Some(package)) = (Tools::find(), clients::find_fetch_event_source()) else {
        return;
    };
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let answers = async move |question: String| {
        count.fetch_add(1, SeqCst);
        let words = futures_util::stream::iter(["one", " two\n"].map(tower_sse::Json::new));
        let options = StreamOptions::new();
        let options = if question == "half" { options } else { options.terminator("[DONE]") };
        (options, tower_sse::response(words))
    };
    let imports =
        json!({ "imports": { "@microsoft/fetch-event-source": "/fetch-event-source/index.js" } });
    let document = Html(format!(
        r#"<!doctype html><script type="importmap">{imports}</script><script type="module">{}</script>"#,
        ask()
    ));
    let routes = Router::new()
        .route("/answers", axum::routing::post(answers))
        .route("/page", get(document))
        .merge(clients::modules(package))
        .layer(SseLayer::new());
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/page", serve_axum(routes).await)).await;
    for (question, end) in [("whole", "over"), ("half", "half an answer")] {
        let ask = format!(
            "const answer = arguments[arguments.length - 1], seen = [];
            const look = () => window.ask ? start() : setTimeout(look, 10);
            const start = () => ask('{question}', text => seen.push(text))
                .then(() => 'over', error => error.message).then(end => answer([...seen, end]));
            look();"
        );
        assert_eq!(browser.answer(&ask).await, Some(json!(["one", " two\n", end])), "{question}");
    }
    assert_eq!(asked.load(SeqCst), 2);
}
