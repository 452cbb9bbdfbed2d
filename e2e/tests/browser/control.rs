use axum::response::{Sse, sse};
use axum::routing::get;
use futures_util::stream;
use tokio_stream::wrappers::{BroadcastStream, IntervalStream};
use tower_http::compression::{CompressionLayer, predicate::NotForContentType};
use tower_http::decompression::{Decompression, DecompressionBody};

use super::proxies::is_older;
use crate::*;

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
    let nginx = Proxy::nginx(&nginx, &upstream, "proxy_http_version 1.0;").await;
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

// Streams that a compressor passes on without holding events back. The crate's own tests have the
// codings that need no library in C.

/// Returns an app whose `/events` streams what is sent.
fn sent() -> (Router, broadcast::Sender<&'static str>) {
    let (events, _) = broadcast::channel::<&'static str>(8);
    let opened = events.clone();
    let answer = async move || {
        let received = BroadcastStream::new(opened.subscribe());
        tower_sse::response(received.map(|data| data.map(Event::from)))
    };
    (Router::new().route("/events", get(answer)).layer(SseLayer::new()), events)
}

/// Opens `/events`, and asserts that the response has this coding.
async fn decoded(address: SocketAddr, coding: &str) -> EventReader<DecompressionBody<Incoming>> {
    let response = client::get(address, "/events", &[("accept-encoding", coding)]).await;
    assert_eq!(response.headers()["content-encoding"], coding);
    let mut response = Some(response);
    let received = service_fn(move |_: Request<Full<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(response.take().expect("one request")))
    });
    EventReader::new(Decompression::new(received).oneshot(Request::default()).await.unwrap())
}

async fn assert_passes_each_event_at_once(
    mut received: EventReader<DecompressionBody<Incoming>>,
    events: broadcast::Sender<&'static str>,
) {
    for data in ["one", "two", "two", "three"] {
        events.send(data).unwrap();
        assert_eq!(received.next().await.unwrap().data, data);
    }
}

#[tokio::test]
async fn each_event_compressed_with_zstd_arrives_at_once() {
    let (app, events) = sent();
    let compressor = CompressionLayer::new().compress_when(NotForContentType::const_new("nothing"));
    let address = serve_axum(app.layer(compressor)).await;
    assert_passes_each_event_at_once(decoded(address, "zstd").await, events).await;
}

#[tokio::test]
async fn nginx_passes_each_event_that_it_compresses_at_once() {
    let Some(nginx) = find_nginx() else { return };
    let (app, events) = sent();
    let upstream = format!("server {};", serve_axum(app).await);
    let settings = "proxy_http_version 1.1; gzip on; gzip_types text/event-stream;";
    let nginx = Proxy::nginx(&nginx, &upstream, settings).await;
    assert_passes_each_event_at_once(decoded(nginx.address, "gzip").await, events).await;
}

// What decides whether nginx holds events back, and which proxies share connections to the server.

const HTTP_1_0: &str = "proxy_http_version 1.0;";
const HTTP_1_1: &str = "proxy_http_version 1.1;";

/// Returns whether the first event comes later than ten events that come directly from the server.
async fn is_held(nginx: &Proxy, path: &str, server: SocketAddr) -> bool {
    let first = async {
        let response = client::get(nginx.address, path, &[]).await;
        _ = EventReader::new(response).next().await;
    };
    let ten_direct = async {
        let mut events = EventReader::new(client::get(server, "/bare", &[]).await);
        for _ in 0..10 {
            soon(events.next()).await.unwrap();
        }
    };
    tokio::select! {
        () = first => false,
        () = ten_direct => true,
    }
}

async fn behind(program: &Path, server: SocketAddr, settings: &str) -> Proxy {
    Proxy::nginx(program, &format!("server {server};"), settings).await
}

/// Serves small events with the layer at `/events`, and without it at `/bare`.
async fn serve_both() -> SocketAddr {
    let events = || {
        let ticks = IntervalStream::new(interval(Duration::from_millis(100)));
        ticks.map(|_| Ok::<_, Infallible>(sse::Event::default().data("tick")))
    };
    let route = get(async move || Sse::new(events()));
    let layered = Router::new().route("/events", route.clone()).layer(SseLayer::new());
    serve_axum(layered.route("/bare", route)).await
}

#[tokio::test]
async fn nginx_holds_events_of_others_back_over_http_1_0() {
    let server = serve_both().await;
    for program in [find_nginx(), find_newest_nginx()].into_iter().flatten() {
        let default = is_older(&program, [1, 29, 7]).await;
        for (settings, holds) in [("", default), (HTTP_1_0, true), (HTTP_1_1, false)] {
            let nginx = behind(&program, server, settings).await;
            let held =
                tokio::join!(is_held(&nginx, "/bare", server), is_held(&nginx, "/events", server));
            assert_eq!(held, (holds, false), "{program:?} {settings}");
        }
    }
}

/// The inner nginx removes `X-Accel-Buffering`.
#[tokio::test]
async fn outer_of_two_nginx_needs_http_1_1_or_the_header() {
    let server = serve_both().await;
    let pass_header = "proxy_pass_header X-Accel-Buffering;";
    for program in [find_nginx(), find_newest_nginx()].into_iter().flatten() {
        let cases = [(HTTP_1_0, "", true), (HTTP_1_1, "", false), (HTTP_1_0, pass_header, false)];
        for (outer, inner, holds) in cases {
            let inner = behind(&program, server, inner).await;
            let nginx = behind(&program, inner.address, outer).await;
            let held = is_held(&nginx, "/events", server).await;
            assert_eq!(held, holds, "{program:?} {outer}");
        }
    }
}

/// Serves idle streams, and counts connections.
async fn serve_counted() -> (SocketAddr, Arc<AtomicUsize>) {
    let idle = async || tower_sse::response(pending::<Event>());
    let app = Router::new().route("/idle", get(idle)).layer(SseLayer::new());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let (listener, address) = listen().await;
    let listener = listener.tap_io(move |_| _ = counted.fetch_add(1, SeqCst));
    tokio::spawn(axum::serve(listener, app).into_future());
    (address, count)
}

/// Opens streams through a proxy, and returns how many connections reach the server.
async fn connections_of(
    proxy: SocketAddr,
    certificate: &Certificate,
    streams: usize,
    count: &AtomicUsize,
) -> usize {
    let mut open = Vec::new();
    for _ in 0..streams {
        let mut connection = certificate.connect(proxy, Protocol::Http2).await;
        let request = Request::get("https://localhost/idle").body(Full::<Bytes>::default());
        open.push((connection.send(request.unwrap()).await, connection));
    }
    assert!(open.iter().all(|(response, _)| response.status() == 200));
    count.load(SeqCst)
}

#[tokio::test]
async fn caddy_and_haproxy_share_connections_over_http_2_and_nginx_does_not() {
    const STREAMS: usize = 60;
    let Some(certificate) = Certificate::new() else { return };
    for kind in [Kind::Caddy, Kind::HaProxy, Kind::NewestNginx] {
        let (server, count) = serve_counted().await;
        let app = format!("backend app\n    server one {server}");
        let [from, to] = match kind {
            Kind::Caddy => {
                [format!("reverse_proxy {server}"), format!("reverse_proxy h2c://{server}")]
            }
            Kind::HaProxy => {
                let shared = "backend app\n    http-reuse always";
                [app, format!("{shared}\n    server one {server} proto h2")]
            }
            _ => [HTTP_1_1.to_owned(), "proxy_http_version 2;".to_owned()],
        };
        let Some(proxy) = kind.start(server, &certificate, &[(&from, &to)]).await else {
            continue;
        };
        // The proxies' own threads have connections of their own.
        let connections = connections_of(proxy.address, &certificate, STREAMS, &count).await;
        if kind == Kind::NewestNginx {
            assert_eq!(connections, STREAMS);
        } else {
            assert!(connections <= STREAMS / 10, "{kind:?}: {connections}");
        }
    }
}
