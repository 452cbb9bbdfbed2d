//! A page that is loaded again behind a proxy that keeps the streams of pages that were left, as
//! Apache and HAProxy do until a write fails.

use std::collections::HashMap;

use axum::extract::Query;
use axum::routing::get;
use tokio::io::{copy, sink};
use tower_sse::streams::{Streams, Subjects};

use crate::relay::Relay;
use crate::*;

/// The page's code, as the guide shows it, and the same page without its tab.
fn pages() -> Router {
    let guide = include_str!("../../../docs/guide/limits.md");
    let (_, code) = guide.split_once("```js\n").expect("a block");
    let (code, _) = code.split_once("\n```").unwrap();
    let page = |code: &str| {
        Html(format!(
            "<!doctype html><script type=module>{code}
            window.got = [];
            source.onmessage = event => got.push(event.data);
            window.source = source;</script>"
        ))
    };
    let plain = page("const source = new EventSource('/events');");
    Router::new().route("/", get(page(code))).route("/plain", get(plain))
}

#[derive(Clone)]
struct App {
    streams: Streams,
}

impl App {
    /// Starts the program, with this limit for its only user, and the proxy.
    async fn start(limit: usize) -> (Self, Relay) {
        let app = Self { streams: Streams::builder().limit("user:", limit).build() };
        let layer = SseLayer::new().streams(&app.streams);
        let routes = Router::new().route("/events", get(Self::events)).layer(layer);
        let server = serve_axum(routes.with_state(app.clone()).merge(pages())).await;
        let relay = Relay::start(server.port(), async |client, server| {
            let ((mut asked, mut to_client), (mut answered, mut to_server)) =
                (client.into_split(), server.into_split());
            let answers = async {
                _ = copy(&mut answered, &mut to_client).await;
                _ = copy(&mut answered, &mut sink()).await;
            };
            let requests = async {
                _ = copy(&mut asked, &mut to_server).await;
                std::future::pending::<()>().await;
            };
            tokio::join!(answers, requests);
        });
        (app, relay.await)
    }

    async fn events(
        State(app): State<Self>,
        subjects: Subjects,
        Query(query): Query<HashMap<String, String>>,
    ) -> impl IntoResponse {
        if let Some(tab) = query.get("tab") {
            app.streams.replace(&subjects, format!("tab:1:{tab}")).await.unwrap();
        }
        subjects.add("user:1");
        tower_sse::response(stream! {
            yield Event::new().data("first");
            pending::<()>().next().await;
        })
    }

    fn refused(&self) -> u64 {
        self.streams.stats().refused_by_prefix[0].1
    }
}

#[tokio::test]
async fn page_that_is_loaded_again_has_its_stream_at_once() {
    let Some(tools) = Tools::find() else { return };
    let (app, relay) = App::start(1).await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/", relay.address)).await;
    let mut tabs = Vec::new();
    for _ in 0..7 {
        browser.until("window.got?.length > 0").await;
        assert_eq!((app.refused(), app.streams.count("user:1")), (0, 1));
        tabs.push(browser.until("sessionStorage.tab").await);
        browser.reload().await;
    }
    assert!(tabs.iter().all(|tab| *tab == tabs[0]), "{tabs:?}");

    // Without the tab, the proxy's stream takes the only place.
    browser.open(&format!("http://{}/plain", relay.address)).await;
    until(|| app.refused() > 0).await;
}

/// A duplicated tab begins with the storage of the first one.
#[tokio::test]
async fn duplicated_tabs_do_not_replace_each_other() {
    let Some(tools) = Tools::find() else { return };
    let (app, relay) = App::start(2).await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/", relay.address)).await;
    browser.until("window.got?.length > 0").await;
    browser.until("window.copy = open('/', '', 'popup')").await;
    browser.until("copy.got?.length > 0").await;
    let tabs = browser.until("[sessionStorage.tab, copy.sessionStorage.tab]").await;
    assert_ne!(tabs[0], tabs[1]);
    let states = browser.until("[source.readyState, copy.source.readyState]").await;
    assert_eq!(states, serde_json::json!([1, 1]));
    let count =
        |tab: &serde_json::Value| app.streams.count(&format!("tab:1:{}", tab.as_str().unwrap()));
    assert_eq!([count(&tabs[0]), count(&tabs[1])], [1, 1]);
    assert_eq!((app.refused(), app.streams.count("user:1")), (0, 2));
}
