//! A page that reads with an `EventSource` and with `@microsoft/fetch-event-source`, and the events
//! that each has received.

use axum::{extract::Path, routing::get};
use serde::Deserialize;

use crate::*;

/// The clients of the page, named after the fields that hold the events of each.
pub(crate) const EVENT_SOURCE: &str = "eventSource";
pub(crate) const FETCHED: &str = "fetched";
pub(crate) const BOTH: [&str; 2] = [EVENT_SOURCE, FETCHED];

pub(crate) fn find_fetch_event_source() -> Option<PathBuf> {
    package("@microsoft/fetch-event-source")
}

pub(crate) fn page(fetch_event_source: Option<PathBuf>) -> Router {
    let seen = ([("content-type", "text/javascript")], include_str!("pages/seen.mjs"));
    let page = Router::new()
        .route("/", get(Html(include_str!("pages/clients.html"))))
        .route("/seen.mjs", get(seen));
    fetch_event_source.map_or(page.clone(), |package| page.merge(modules(package)))
}

pub(crate) fn modules(package: PathBuf) -> Router {
    // The modules import one another without the extension, as bundlers allow.
    let module = async move |Path(name): Path<String>| {
        let file = package.join("lib/esm").join(name).with_extension("js");
        ([("content-type", "text/javascript")], tokio::fs::read(file).await.unwrap())
            .into_response()
    };
    Router::new().route("/fetch-event-source/{name}", get(module))
}

impl Chromium {
    pub(crate) async fn listen(&self, address: SocketAddr, clients: &[&str]) {
        self.listen_at(&format!("http://{address}/"), clients).await;
    }

    pub(crate) async fn listen_at(&self, url: &str, clients: &[&str]) {
        self.open(url).await;
        for client in clients {
            let listen = match *client {
                EVENT_SOURCE => "listenByEventSource",
                _ => "listenByFetch",
            };
            self.until(&format!("window.{listen} && ({listen}('/events'), true)")).await;
        }
    }

    /// Waits until the condition holds for each of these clients. The condition calls a client
    /// `it`.
    pub(crate) async fn until_each(&self, clients: &[&str], condition: &str) {
        for client in clients {
            self.until(&format!("window.{client} && (it => {condition})({client})")).await;
        }
    }

    pub(crate) async fn seen(&self, client: &str) -> Seen {
        let seen = self.until(&format!("JSON.stringify(window.{client})")).await;
        serde_json::from_str(seen.as_str().unwrap()).unwrap()
    }
}

/// The state of a client, as `pages/seen.mjs` writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) opened: u32,
    pub(crate) errors: u32,
    pub(crate) over: bool,
    pub(crate) events: Vec<(u64, String)>,
    pub(crate) farewells: Vec<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) answers: Vec<(u16, Option<String>)>,
}

impl Seen {
    /// Asserts that every event from the first on was received, once and in order.
    pub(crate) fn misses_and_doubles_nothing(&self, client: &str) {
        let ids: Vec<u64> = self.events.iter().map(|(id, _)| *id).collect();
        let expected: Vec<u64> = (1..).take(ids.len()).collect();
        assert_eq!(ids, expected, "{client}");
    }

    pub(crate) fn servers(&self) -> Vec<&str> {
        let mut servers: Vec<&str> = self.events.iter().map(|(_, server)| &**server).collect();
        servers.dedup();
        servers
    }
}
