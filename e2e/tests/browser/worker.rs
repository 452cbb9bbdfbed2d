//! An `EventSource` behind a service worker: the worker that the guide's page on clients shows, and
//! the same worker without its remedy.

use axum::extract::Path;
use axum::routing::get;

use crate::engine::{Engine, EnginePage};
use crate::*;

const PAGE: &str = include_str!("../../../docs/guide/clients.md");

/// The scopes of the workers. Streams in those with `aged` have a maximum age.
const SCOPES: [&str; 3] = ["passing", "answering", "aged"];

/// Opens a frame in each scope once its worker is active.
const FRAMES: &str = "for (const scope of SCOPES) {
        const registered = await navigator.serviceWorker.register(`/${scope}/worker.js`);
        const worker = registered.installing ?? registered.waiting ?? registered.active;
        await new Promise(resolve => {
            const look = () => worker.state === 'activated' && resolve();
            worker.onstatechange = look;
            look();
        });
        document.body.append(Object.assign(document.createElement('iframe'), { src: `/${scope}/` }));
    }";

const FRAME: &str = "<!doctype html><script>
        const [, scope] = location.pathname.split('/');
        const source = new EventSource(`/${scope}/events`);
        source.onopen = () => parent.report(`${scope} open`);
        source.onmessage = event => parent.report(`${scope} ${event.data}`);
        source.onerror = () => { if (source.readyState === 2) parent.report(`${scope} closed`); };
    </script>";

/// Returns the guide's worker, or the same worker without its remedy.
fn worker(scope: &str) -> String {
    let remedy =
        "  if (event.request.headers.get(\"accept\")?.includes(\"text/event-stream\")) return;\n";
    let start = "self.addEventListener(\"fetch\"";
    let (_, code) = PAGE.split_once(&format!("```js\n{start}")).expect("a block");
    let (code, _) = code.split_once("```").unwrap();
    assert!(code.contains(remedy), "{code}");
    let passes = scope.starts_with("passing");
    let code = if passes { code.to_owned() } else { code.replace(remedy, "") };
    format!("{start}{code}")
}

/// The scopes of requests for events, and whether the request had an id.
type Seen = Arc<Mutex<Vec<(String, bool)>>>;

fn app(hub: &Hub, seen: &Seen) -> Router {
    let seen = Arc::clone(seen);
    let script = async |Path(scope): Path<String>| {
        ([("content-type", "text/javascript")], worker(&scope)).into_response()
    };
    let events = async move |State(hub): State<Hub>,
                             Path(scope): Path<String>,
                             last: Option<LastEventId>| {
        let options = StreamOptions::new();
        let age = MaxAge::new(Duration::from_millis(500)).jitter(0.0);
        let options = if scope.ends_with("aged") { options.max_age(age) } else { options };
        seen.lock().unwrap().push((scope, last.is_some()));
        (options, hub.subscribe_to("news").resume(last).response())
    };
    Router::new()
        .route("/{scope}/", get(Html(FRAME)))
        .route("/{scope}/worker.js", get(script))
        .route("/{scope}/events", get(events))
        .layer(SseLayer::new().retry(Duration::from_millis(100)))
        .with_state(hub.clone())
}

/// Reads reports until each of `awaited` has come. Returns all reports.
async fn until_reported(page: &mut EnginePage, awaited: &[&str]) -> Vec<String> {
    let mut reports = Vec::new();
    while !awaited.iter().all(|awaited| reports.iter().any(|report| report == awaited)) {
        reports.push(page.next_report().await);
    }
    reports
}

async fn worker_that_lets_streams_pass_stops_none(engine: Engine) {
    let hub = Hub::new();
    let frames = FRAMES.replace("SCOPES", &json!(SCOPES).to_string());
    let app = app(&hub, &Seen::default());
    let Some(mut page) = EnginePage::open(engine, app, &frames).await else { return };
    let open = SCOPES.map(|scope| format!("{scope} open"));
    until_reported(&mut page, &open.each_ref().map(|open| &**open)).await;
    // In Firefox, the stream of the answering worker closes without a cut once the worker is idle.
    if matches!(engine, Engine::ChromiumAlone) {
        page.relay.cut();
    }
    let mut reports = until_reported(&mut page, &["answering closed"]).await;
    hub.publish("news", "one").await.unwrap();
    // In Chromium, the cut also stops the stream in `aged`, before its maximum age.
    let received: &[_] = match engine {
        Engine::Firefox => &["passing one", "aged one"],
        _ => &["passing one"],
    };
    reports.extend(until_reported(&mut page, received).await);
    if matches!(engine, Engine::Firefox) {
        page.relay.cut();
        until(|| hub.stats().subscribers == 0).await;
        hub.publish("news", "two").await.unwrap();
        reports.extend(until_reported(&mut page, &["passing two"]).await);
    }
    assert!(!reports.iter().any(|report| report == "passing closed"), "{reports:?}");
}

/// The page then gets a `start` in place of the events that it missed, and no gap.
#[tokio::test]
async fn chromium_sends_no_id_behind_a_worker_that_answers() {
    const AGED: [&str; 2] = ["passing-aged", "aged"];
    let (hub, seen) = (Hub::new(), Seen::default());
    let frames = FRAMES.replace("SCOPES", &json!(AGED).to_string());
    let app = app(&hub, &seen);
    let Some(mut page) = EnginePage::open(Engine::ChromiumAlone, app, &frames).await else {
        return;
    };
    let open = AGED.map(|scope| format!("{scope} open"));
    until_reported(&mut page, &open.each_ref().map(|open| &**open)).await;
    hub.publish("news", "one").await.unwrap();
    // Each page has reconnected twice after the end of a stream that had a `start`.
    let of = |scope: &str| -> Vec<bool> {
        let seen = seen.lock().unwrap();
        seen.iter().filter(|(of, _)| of == scope).map(|(_, has_id)| *has_id).collect()
    };
    until(|| AGED.iter().all(|scope| of(scope).len() >= 3)).await;
    assert_eq!(of("passing-aged")[..3], [false, true, true]);
    assert_eq!(of("aged")[..3], [false; 3]);
}

#[tokio::test]
async fn chromium_goes_on_behind_a_worker_that_lets_streams_pass() {
    worker_that_lets_streams_pass_stops_none(Engine::ChromiumAlone).await;
}

#[tokio::test]
#[ignore = "needs Firefox: `.ci/slow engines`"]
async fn firefox_goes_on_behind_a_worker_that_lets_streams_pass() {
    worker_that_lets_streams_pass_stops_none(Engine::Firefox).await;
}
