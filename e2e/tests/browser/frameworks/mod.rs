//! The programs of the guide's page on frameworks: htmx in Chromium, the events for datastar, and
//! the response in an OpenAPI document.

mod datastar;
mod htmx;
mod openapi;
#[allow(dead_code, unused_imports, unused_mut)]
mod openapi_3_1;

use std::sync::atomic::AtomicBool;

use axum::middleware::{Next, from_fn_with_state};
use axum::{extract::Request, routing::get};
use serde_json::Map;

use crate::relay::Relay;
use crate::support::{installed, target};
use crate::*;

const PAGE: &str = include_str!("../../../../docs/guide/frameworks.md");

const PROGRAMS: [&str; 3] =
    [include_str!("htmx.rs"), include_str!("datastar.rs"), include_str!("openapi.rs")];

pub(crate) fn htmx_4_page() -> &'static str {
    let (_, page) = PROGRAMS[0].split_once("r#\"").unwrap();
    page.split_once("\"#").unwrap().0
}

pub(crate) fn htmx_4_scripts(routes: Router, package: &Path) -> Router {
    let routes = script(routes, "/assets/htmx.js", package, "dist/htmx.js");
    script(routes, "/assets/hx-sse.js", package, "dist/ext/hx-sse.js")
}

fn script(routes: Router, path: &str, package: &Path, file: &str) -> Router {
    let file = package.join(file);
    let script = async move || {
        ([("content-type", "text/javascript")], tokio::fs::read(file).await.unwrap())
            .into_response()
    };
    routes.route(path, get(script))
}

/// Checks that the page at `path` shows all events, even those that it missed, and stops after the
/// last one.
async fn check_htmx(tools: &Tools, routes: Router, hub: &Hub, path: &str) {
    let relay = Relay::to(serve_axum(routes).await.port()).await;
    let browser = Chromium::start(tools).await;
    browser.open(&format!("http://{}{path}", relay.address)).await;
    until(|| hub.subscriber_count("news") == 1).await;
    let mut expected = Vec::new();
    for text in ["one", "two", "three"] {
        hub.publish("news", format!("<li>{text}</li>")).await.unwrap();
        expected.push(text);
        let rows = "[...document.querySelectorAll('ul > li')].map(row => row.textContent)";
        let expected = json!(json!(expected).to_string());
        browser.until(&format!("JSON.stringify({rows}) === {expected}")).await;
        // The next event is published while the page is disconnected.
        relay.cut();
        until(|| hub.subscriber_count("news") == 0).await;
    }
    until(|| hub.subscriber_count("news") == 1).await;
    for (event, reason) in [("htmx:sse:close", "reason"), ("htmx:sseClose", "type")] {
        let note = format!("event => window.reason = event.detail.{reason}");
        browser.until(&format!("(addEventListener('{event}', {note}), true)")).await;
    }
    hub.publish("news", Event::new().event("done").data("{}")).await.unwrap();
    browser.until("window.reason === 'message'").await;
    until(|| hub.subscriber_count("news") == 0).await;
    // By then, a timer of 5 seconds, like htmx 4's, would have opened a stream again.
    browser.until("(setTimeout(() => window.isLater = true, 6000), true)").await;
    browser.until("window.isLater").await;
    assert_eq!(hub.subscriber_count("news"), 0);
}

#[test]
fn page_shows_the_programs_that_are_tested() {
    for program in PROGRAMS {
        assert!(PAGE.contains(&format!("```rust\n{program}```")), "{program}");
        let lines = program.lines().filter(|line| !line.is_empty()).count();
        assert!(lines <= 25, "{lines} lines: {program}");
    }
}

/// Answers every second request for the stream with a `502`, as a proxy does while the server
/// restarts. If `has_failed` is false, the next request fails.
async fn fail_every_other(
    State(has_failed): State<Arc<AtomicBool>>,
    request: Request,
    next: Next,
) -> axum::response::Response {
    if request.uri().path() == "/events" && !has_failed.fetch_not(SeqCst) {
        return (StatusCode::BAD_GATEWAY, Html("<li>Bad Gateway</li>")).into_response();
    }
    next.run(request).await
}

#[tokio::test]
async fn htmx_4_shows_events_and_resumes() {
    let (Some(tools), Some(package)) = (Tools::find(), package("htmx.org")) else { return };
    let hub = Hub::new();
    let routes = htmx_4_scripts(htmx::app(hub.clone()), &package);
    let routes = routes.layer(from_fn_with_state(Arc::default(), fail_every_other));
    check_htmx(&tools, routes, &hub, "/").await;
}

/// Counts streams. Has the layer end each one cleanly, as some proxies end a broken stream.
async fn end_cleanly(
    State(opened): State<Arc<AtomicUsize>>,
    mut request: Request,
    next: Next,
) -> axum::response::Response {
    let age = MaxAge::new(Duration::from_millis(100)).grace(Duration::ZERO);
    let options = StreamOptions::new().client_kind(ClientKind::EventSource).max_age(age);
    options.merge_into_extensions(request.extensions_mut());
    opened.fetch_add(usize::from(request.uri().path() == "/events"), SeqCst);
    next.run(request).await
}

#[tokio::test]
async fn htmx_4_goes_on_after_clean_ends() {
    let (Some(tools), Some(package)) = (Tools::find(), package("htmx.org")) else { return };
    let hub = Hub::new();
    let opened = Arc::default();
    let routes = htmx_4_scripts(htmx::app(hub.clone()), &package);
    let routes = routes.layer(from_fn_with_state(Arc::clone(&opened), end_cleanly));
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/", serve_axum(routes).await)).await;
    until(|| opened.load(SeqCst) >= 3).await;
}

#[tokio::test]
async fn htmx_2_shows_events_and_resumes() {
    let (Some(tools), Some(htmx)) = (Tools::find(), package("htmx-2")) else { return };
    let Some(extension) = package("htmx-ext-sse") else { return };
    let (_, page) = PAGE.split_once("```html\n").unwrap();
    let (page, _) = page.split_once("```").unwrap();
    let hub = Hub::new();
    let module = async |headers: http::HeaderMap| tower_sse::page::module(&headers);
    let routes = htmx::app(hub.clone()).route("/2", get(Html(page)));
    let routes = routes.route("/tower-sse.js", get(module));
    let routes = script(routes, "/assets/htmx.js", &htmx, "dist/htmx.js");
    let routes = script(routes, "/assets/sse.js", &extension, "dist/sse.js");
    // As if a request had failed, so that the page's first request succeeds.
    let has_failed = Arc::new(AtomicBool::new(true));
    let routes = routes.layer(from_fn_with_state(has_failed, fail_every_other));
    check_htmx(&tools, routes, &hub, "/2").await;
}

/// Compares the lines with those that datastar's SDKs send, because datastar's library is not on
/// npm.
#[tokio::test]
async fn datastar_gets_its_events_and_resumes() {
    let hub = Hub::new();
    let address = serve_axum(datastar::app(hub.clone())).await;
    let headers = [
        ("accept", "text/event-stream, text/html, application/json"),
        ("sec-fetch-mode", "cors"),
        ("datastar-request", "true"),
    ];
    let mut events = EventReader::new(get_events(address, &headers, "").await);
    // Clients end a line of data at a lone CR, too.
    hub.publish("news", datastar::append("<li>\n  one\rmode inner\r\n</li>")).await.unwrap();
    let event = events.next().await.unwrap();
    assert_eq!(event.event, "datastar-patch-elements");
    let lines = "mode append\nselector #list\n\
        elements <li>\nelements   one\nelements mode inner\nelements </li>";
    assert_eq!(event.data, lines);
    drop(events);

    hub.publish("news", datastar::append("<li>two</li>")).await.unwrap();
    let mut events = EventReader::new(get_events(address, &headers, &event.last_event_id).await);
    assert!(events.next().await.unwrap().data.ends_with("elements <li>two</li>"));
}

async fn get_events(
    address: SocketAddr,
    headers: &[(&str, &str)],
    last: &str,
) -> http::Response<hyper::body::Incoming> {
    let headers = [headers, &[("last-event-id", last)]].concat();
    client::get(address, "/events", &headers).await
}

async fn openapi_document(routes: Router) -> Value {
    let address = serve_axum(routes).await;
    let document = client::get(address, "/openapi.json", &[]).await.into_body();
    serde_json::from_slice(&document.collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn openapi_document_describes_the_response() {
    let hub = Hub::new();
    let document = openapi_document(openapi::app(hub.clone())).await;
    assert_eq!(document["openapi"], "3.2.0");
    let answer = client::get(serve_axum(openapi::app(hub)).await, "/events", &[]).await;
    let content_type = answer.headers()["content-type"].to_str().unwrap();
    let content = &document["paths"]["/events"]["get"]["responses"]["200"]["content"];
    let schema = &content[content_type]["itemSchema"];
    let fields: Vec<_> = schema["properties"].as_object().into_iter().flat_map(Map::keys).collect();
    assert_eq!(fields, ["data", "id"], "{document:#}");
}

/// The program for OpenAPI 3.1 is the page's with the changes that the page names.
#[tokio::test]
async fn validator_accepts_the_openapi_documents() {
    let of_page = PROGRAMS[2].replace("item_schema = inline(News)", "body = String");
    let of_page: Vec<_> = of_page.lines().filter(|it| !it.contains("Version32")).collect();
    assert_eq!(of_page, include_str!("openapi_3_1.rs").lines().collect::<Vec<_>>());
    let Some(python) = find(&["python3"]) else { return };
    if installed("python/openapi_spec_validator").is_none() {
        return;
    }
    let code =
        "import json, sys, openapi_spec_validator as it; it.validate(json.loads(sys.argv[1]))";
    for (version, routes) in
        [("3.2.0", openapi::app(Hub::new())), ("3.1.0", openapi_3_1::app(Hub::new()))]
    {
        let document = openapi_document(routes).await;
        assert_eq!(document["openapi"], version);
        let mut command = Command::new(&python);
        command.env("PYTHONPATH", target("python")).args(["-c", code, &document.to_string()]);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
