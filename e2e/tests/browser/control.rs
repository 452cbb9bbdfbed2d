use axum::routing::get;
use futures_util::stream;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tower_sse::Refusal;

use crate::*;

/// Without this result the tests through nginx would prove nothing.
#[tokio::test]
async fn without_the_layer_nginx_holds_events_back() {
    let Some(nginx) = find_nginx() else { return };
    let app = Router::new().merge(example::app(INTERVAL)).nest("/bare", example::routes(INTERVAL));
    let server = serve_axum(app).await;
    let nginx = Nginx::start(&nginx, server).await;

    let (saw, mut first) = oneshot::channel();
    tokio::spawn(async move {
        let response = client::get(nginx.address, "/bare/events", &[]).await;
        let first = EventReader::new(response).next().await.unwrap();
        saw.send(first).unwrap();
    });
    // The same events, with the layer and through the same proxy.
    let response = client::get(nginx.address, "/events", &[]).await;
    let mut layered = EventReader::new(response);
    for _ in 0..8 {
        assert_eq!(soon(layered.next()).await.unwrap().event, "sample");
    }
    assert_eq!(first.try_recv().unwrap_err(), TryRecvError::Empty, "the buffer is not full yet");

    // Once the stream has ended, the events do come.
    soon(first).await.unwrap();
}

/// Shows why a refusal depends on the client.
#[tokio::test]
async fn event_source_gives_up_at_a_503() {
    let Some(tools) = Tools::find() else { return };
    let log = Log::start();
    let layer = layer("server").refusal(Refusal::unavailable());
    let server = Server::start(ANY, layer, log.routes("server").merge(page(None))).await;
    let browser = Chromium::start(&tools).await;
    browser.listen(server.address, &[EVENT_SOURCE]).await;
    browser.until_each(&[EVENT_SOURCE], "it.events.length > 0").await;

    server.drain();
    browser.until_each(&[EVENT_SOURCE], "it.over").await;
    let stats = server.stats.snapshot();
    assert_eq!((stats.opened, stats.refused), (1, 1), "it came once");
}

/// Shows why a stream that `fetch` reads must end by failing.
#[tokio::test]
async fn fetch_event_source_does_not_reconnect_after_a_clean_end() {
    let (Some(tools), Some(package)) = (Tools::find(), find_fetch_event_source()) else { return };
    let events = async || tower_sse::response(stream::iter([Event::new().id(1).data("server")]));
    let app = Router::new().route("/events", get(events)).merge(page(Some(package)));
    let server =
        Server::start(ANY, layer("server").retry(Retry::fixed(Duration::from_millis(20))), app)
            .await;
    let browser = Chromium::start(&tools).await;
    browser.listen(server.address, &BOTH).await;

    browser.until_each(&[FETCHED], "it.over").await;
    browser.until_each(&[EVENT_SOURCE], "it.opened > 3").await;
    assert_eq!(browser.seen(FETCHED).await.opened, 1);
}

/// Its request then equals that of an `EventSource`, so a shutdown ends it for good.
#[tokio::test]
async fn fetch_that_bypasses_the_cache_is_handled_as_an_event_source() {
    let (Some(tools), Some(package)) = (Tools::find(), find_fetch_event_source()) else { return };
    let log = Log::start();
    let app = log.routes("server").merge(page(Some(package)));
    let server = Server::start(ANY, layer("server"), app).await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/", server.address)).await;
    let listen = "listenByFetch('/events', { cache: 'no-store' })";
    browser.until(&format!("window.listenByFetch && ({listen}, true)")).await;
    browser.until_each(&[FETCHED], "it.events.length > 0").await;

    server.drain();
    browser.until_each(&[FETCHED], "it.over").await;
    let fetched = browser.seen(FETCHED).await;
    assert_eq!(
        (fetched.opened, fetched.errors, &*fetched.farewells),
        (1, 0, &["server".into()][..])
    );
}

/// Shows why nginx must speak HTTP/1.1: over HTTP/1.0 a failure looks like an end.
#[tokio::test]
async fn over_http_1_0_nginx_turns_a_failure_into_a_clean_end() {
    let (Some(tools), Some(nginx)) = (Tools::find(), find_nginx()) else { return };
    let Some(package) = find_fetch_event_source() else { return };
    let log = Log::start();
    let app = log.routes("server").merge(page(Some(package)));
    let server = Server::start(ANY, layer("server"), app).await;
    let upstream = format!("server {};", server.address);
    let nginx = Nginx::start_with(&nginx, &upstream, "proxy_http_version 1.0;").await;
    let browser = Chromium::start(&tools).await;
    browser.listen(nginx.address, &BOTH).await;
    browser.until_each(&BOTH, "it.events.length > 0").await;

    server.drain();
    browser.until_each(&[FETCHED], "it.over").await;
    browser.until_each(&[EVENT_SOURCE], "it.opened > 2").await;
    let fetched = browser.seen(FETCHED).await;
    assert_eq!(
        (fetched.opened, fetched.errors, &*fetched.farewells),
        (1, 0, &["server".into()][..])
    );
}
