//! Independent clients for Node: the `EventSource`s of two packages, and a package that reads with
//! `fetch`.

use axum::routing::get;
use futures_util::stream;

use crate::*;

/// A Node process. It ends when its standard input is closed.
struct Client(Program);

impl Client {
    fn start(package: &str, address: SocketAddr) -> Option<Self> {
        let mut command = node("tests/browser/pages/node.mjs", &[package])?;
        command.args([package, &format!("http://{address}/events")]);
        // undici warns on standard error that its `EventSource` is experimental.
        Some(Self(Program::start(command.stderr(Stdio::null()))))
    }

    async fn until(&mut self, condition: impl Fn(&Seen) -> bool) -> Seen {
        let mut last = None;
        let until = async {
            loop {
                let seen = self.0.line().await.expect("node to go on");
                let seen = last.insert(serde_json::from_str(&seen).unwrap());
                if condition(seen) {
                    return;
                }
            }
        };
        let in_time = timeout(PATIENCE, until).await.is_ok();
        let seen = last.expect("something");
        assert!(in_time, "the last that was seen: {seen:?}");
        seen
    }

    /// Waits until the draining `server` has refused the client twice.
    async fn until_refused(&mut self, server: &Server) {
        // The client opens its stream, and later the streams of two refusals.
        self.until(|seen| seen.opened > 2).await;
        let stats = server.stats.snapshot();
        assert!(stats.refused >= 2, "{stats:?}");
        assert_eq!((stats.opened, stats.open), (1, 0));
    }

    /// Waits until the client has resumed at the second server.
    async fn until_resumed(&mut self, log: &Log) {
        let now = log.last();
        let seen = self.until(|seen| seen.events.last().is_some_and(|(id, _)| *id > now)).await;
        seen.misses_and_doubles_nothing("node");
        assert_eq!(seen.servers(), ["first", "second"]);
        assert_eq!(seen.farewells, ["first"]);
    }
}

#[tokio::test]
async fn eventsource_reconnects_after_refusals_and_when_no_server_listens() {
    let log = Log::start();
    let first = Server::start(ANY, layer("first"), log.routes("first")).await;
    let address = first.address;
    let Some(mut client) = Client::start("eventsource", address) else { return };
    client.until(|seen| seen.events.len() > 20).await;

    first.drain();
    client.until_refused(&first).await;
    first.shut_down().await;
    // An error for the end of each opened stream, and one for a failed connection.
    client.until(|seen| seen.errors > seen.opened).await;

    let _second = Server::start(address, layer("second"), log.routes("second")).await;
    client.until_resumed(&log).await;
}

/// Goes through nginx, because undici 6 gives up for good when no server listens.
#[tokio::test]
async fn undici_reconnects_after_refusals() {
    let Some(nginx) = find_nginx() else { return };
    let log = Log::start();
    let first = Server::start(ANY, layer("first"), log.routes("first")).await;
    let second = Server::start(ANY, layer("second"), log.routes("second")).await;
    let upstream = format!("server {}; server {} backup;", first.address, second.address);
    let nginx = Proxy::nginx(&nginx, &upstream, "").await;
    let Some(mut client) = Client::start("undici", nginx.address) else { return };
    client.until(|seen| seen.events.len() > 20).await;

    first.drain();
    client.until_refused(&first).await;
    first.shut_down().await;
    client.until_resumed(&log).await;
}

/// event-source-plus asks again at once after each end.
#[tokio::test]
async fn fetch_that_has_everything_is_held() {
    let hub = Hub::new();
    hub.end("job", Event::from("done")).await.unwrap();
    let nothing_more = get(async move || hub.subscribe_to("job").resume(None).response());
    // The control is a stream that ends without an event.
    let empty = get(async || tower_sse::response(stream::empty::<Event>()));
    let serve = |events| Server::start(ANY, SseLayer::new(), Router::new().route("/", events));
    let (held, control) = (serve(nothing_more).await, serve(empty).await);
    let Some(mut command) = node("tests/browser/pages/plus.mjs", &["event-source-plus"]) else {
        return;
    };
    command.args([&held, &control].map(|server| format!("http://{}/", server.address)));
    let _client = Program::start(&mut command);
    let opened = |server: &Server| server.stats.snapshot().opened;
    until(|| opened(&held) > 0 && opened(&control) > 100).await;
    assert_eq!(opened(&held), 1);
    held.shut_down().await;
}
