//! A page with the module, in an engine, that reports what its listeners get.

use crate::{engine::OpenEngine, *};

/// The page's module, which a scene's script follows. Reports take a way without faults.
const PAGE_START: &str = r#"<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
    import { EventStream } from "/tower-sse.js";
    let last = Promise.resolve();
    const report = body => last = last.then(() => fetch("http://REPORTS/", { method: "POST", mode: "no-cors", keepalive: true, body }));
    const open = (options, url = "/events") => {
        const source = new EventStream(url, options);
        source.onmessage = ({ data }) => report(data);
        source.addEventListener("gap", () => report("gap"));
        source.onerror = ({ status }) => { if (source.readyState === 2) report(`closed ${status}`); };
        return source;
    };
"#;

/// A rig whose page is open in an engine.
pub(crate) struct EnginePage {
    pub(crate) rig: Rig,
    reports: mpsc::UnboundedReceiver<String>,
    _engine: OpenEngine,
    published: usize,
}

/// Starts a server that collects reports.
async fn reports() -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let (sender, reports) = mpsc::unbounded_channel();
    let report = async move |text: String| _ = sender.send(text);
    (serve_axum(Router::new().route("/", post(report))).await, reports)
}

/// Returns the page and the module as the crate serves it.
fn routes(script: &str, reports: SocketAddr) -> Router {
    let start = PAGE_START.replace("REPORTS", &reports.to_string());
    let page = Html(format!("{start}{script}</script>"));
    let module = async |headers: HeaderMap| tower_sse::page::module(&headers);
    Router::new()
        .route("/", get(page.clone()))
        .route("/page/{number}", get(page))
        .route("/tower-sse.js", get(module))
}

impl EnginePage {
    /// Serves a page with this script and opens it. Returns `None` if the engine is not installed.
    pub(crate) async fn open(engine: Engine, settings: Settings, script: &str) -> Option<Self> {
        Self::open_with(engine, settings, script, |app| app).await
    }

    pub(crate) async fn open_with(
        engine: Engine,
        settings: Settings,
        script: &str,
        more: impl FnOnce(Router) -> Router,
    ) -> Option<Self> {
        let (address, reports) = reports().await;
        let rig = Rig::start(settings, more(routes(script, address))).await;
        let engine = engine.open(&format!("http://{}/", rig.wire.address)).await?;
        Some(Self { rig, reports, _engine: engine, published: 0 })
    }

    pub(crate) async fn next_report(&mut self) -> String {
        soon(self.reports.recv()).await.expect("the server lives as long as the test")
    }

    /// Waits until the page has a stream or a poll, which has had its first id.
    pub(crate) async fn is_open(&self) {
        until(|| self.rig.running().hub.stats().subscribers > 0).await;
    }

    pub(crate) fn published(&self) -> usize {
        self.published
    }

    /// Publishes the next numbers.
    pub(crate) async fn publish(&mut self, events: usize) {
        for _ in 0..events {
            self.published += 1;
            self.rig.publish(&self.published.to_string()).await;
        }
    }

    /// Waits until the page has reported all that was published after the first `seen` numbers,
    /// each once and in order, and nothing else.
    pub(crate) async fn shows_after(&mut self, seen: usize) {
        for number in seen + 1..=self.published {
            assert_eq!(self.next_report().await, number.to_string());
        }
    }

    /// Publishes a number and waits until the page has reported it.
    pub(crate) async fn passes(&mut self) {
        let seen = self.published;
        self.publish(1).await;
        self.shows_after(seen).await;
    }

    /// Waits until the page's stream is closed for good, and makes sure that it stays so.
    pub(crate) async fn closes_with(&mut self, status: u16) {
        assert_eq!(self.next_report().await, format!("closed {status}"));
        let asked = self.rig.faults.asked().len();
        sleep(Duration::from_secs(4)).await;
        assert_eq!(self.rig.faults.asked().len(), asked, "requests after {status}");
    }

    /// Asserts that the page has made at most six requests in any ten seconds.
    pub(crate) fn asks_seldom(&self) {
        let asked: Vec<_> = self.rig.faults.asked().into_iter().map(|asked| asked.at).collect();
        for (index, from) in asked.iter().enumerate() {
            let later =
                asked[index..].iter().take_while(|at| **at < *from + Duration::from_secs(10));
            assert!(later.count() <= 6, "{asked:?}");
        }
    }
}
