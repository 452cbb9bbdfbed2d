//! htmx, which reads with `fetch`, in two windows of one browser. A second request for a URL waits
//! for the cache entry of the first request: in Chromium until the first response has a head, in
//! Firefox for 20 seconds.

use axum::extract::OriginalUri;
use axum::routing::{get, post};

use crate::engine::{Engine, EnginePage};
use crate::*;

/// Opens a window each time that the test allows it.
const OPENER: &str = "for (const path of ['/control', '/page', '/control', '/page']) {
        await fetch('/next', { method: 'POST' });
        open(path, '', 'popup');
    }";

/// Reports to the server that a page is about to request its stream.
const NOTE: &str = "<script>
        const own = fetch;
        window.fetch = (...all) => { navigator.sendBeacon('/asked'); return own(...all); };
    </script>";

#[derive(Clone, Default)]
struct Windows {
    next: Arc<Notify>,
    asked: Arc<AtomicUsize>,
    /// The paths of the requests that have arrived.
    arrived: Arc<Mutex<Vec<String>>>,
    /// Cancelled when responses may begin.
    heads: CancellationToken,
}

impl Windows {
    fn count(&self, path: &str) -> usize {
        self.arrived.lock().unwrap().iter().filter(|arrived| *arrived == path).count()
    }

    /// Serves this document as it is, and without its remedy.
    fn routes(&self, document: &str, remedy: &str) -> Router {
        let document = format!("<!doctype html>{NOTE}{document}");
        let control = document.replace(remedy, "").replace("/events", "/control-events");
        assert!(document.contains(remedy) && document.contains("/events"), "{document}");
        let [document, control] = [document, control].map(|document| get(Html(document)));
        Router::new()
            .route("/page", document)
            .route("/control", control)
            .route("/next", post(async |State(it): State<Self>| it.next.notified().await))
            .route(
                "/asked",
                post(async |State(it): State<Self>| it.asked.fetch_add(1, SeqCst).to_string()),
            )
            .route("/events", get(Self::stream))
            .route("/control-events", get(Self::stream))
            .layer(SseLayer::new())
            .with_state(self.clone())
    }

    async fn stream(State(it): State<Self>, OriginalUri(uri): OriginalUri) -> impl IntoResponse {
        it.arrived.lock().unwrap().push(uri.path().to_owned());
        it.heads.cancelled().await;
        tower_sse::response(pending::<Event>())
    }
}

async fn second_window_is_not_held_back(
    engine: Engine,
    document: &str,
    remedy: &str,
    modules: Router,
) {
    let windows = Windows::default();
    let routes = windows.routes(document, remedy).merge(modules);
    let Some(_opener) = EnginePage::open(engine, routes, OPENER).await else { return };
    for (opened, path) in ["/control-events", "/events"].into_iter().enumerate() {
        windows.next.notify_one();
        until(|| windows.asked.load(SeqCst) == opened + 1 && windows.count(path) == 1).await;
    }
    for opened in [3, 4] {
        windows.next.notify_one();
        until(|| windows.asked.load(SeqCst) == opened).await;
    }
    until(|| windows.count("/events") == 2).await;
    assert_eq!(windows.count("/control-events"), 1, "{engine:?} holds nothing back any more");
    windows.heads.cancel();
    if matches!(engine, Engine::ChromiumAlone) {
        until(|| windows.count("/control-events") == 2).await;
    }
}

async fn htmx(engine: Engine) {
    let Some(package) = package("htmx.org") else { return };
    let modules = frameworks::htmx_4_scripts(Router::new(), &package);
    let remedy = r#" hx-vals="js:tab:Math.random()""#;
    second_window_is_not_held_back(engine, frameworks::htmx_4_page(), remedy, modules).await;
}

#[tokio::test]
async fn chromium_holds_no_second_window_back() {
    htmx(Engine::ChromiumAlone).await;
}

#[tokio::test]
#[ignore = "needs Firefox: `.ci/slow engines`"]
async fn firefox_holds_no_second_window_back() {
    htmx(Engine::Firefox).await;
}
