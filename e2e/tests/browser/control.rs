use std::io;

use axum::response::{Sse, sse};
use axum::routing::get;
use futures_util::stream;
use tokio::sync::oneshot;
use tokio_stream::wrappers::{BroadcastStream, IntervalStream};
use tower_http::compression::{CompressionLayer, predicate::NotForContentType};
use tower_http::decompression::Decompression;

use crate::support::until_async;
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

/// A `fetch` that bypasses the cache sends a request that equals an `EventSource`'s, so a shutdown
/// ends the client for good.
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
    is_over_after_the_farewell(&browser).await;
}

/// Waits until the client with `fetch` regards its answer as complete because the stream has ended.
async fn is_over_after_the_farewell(browser: &Chromium) {
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
    is_over_after_the_farewell(&browser).await;
    browser.until_each(&[EVENT_SOURCE], "it.opened > 2").await;
}

// A stream that a compressor passes on without holding events back. The crate's own tests cover the
// codings that need no library in C.

#[tokio::test]
async fn each_event_compressed_with_zstd_arrives_at_once() {
    let (events, _) = broadcast::channel::<&'static str>(8);
    let opened = events.clone();
    let answer = async move || {
        let received = BroadcastStream::new(opened.subscribe());
        tower_sse::response(received.map(|data| data.map(Event::from)))
    };
    let app = Router::new().route("/events", get(answer)).layer(SseLayer::new());
    let compressor = CompressionLayer::new().compress_when(NotForContentType::const_new("nothing"));
    let address = serve_axum(app.layer(compressor)).await;
    let response = client::get(address, "/events", &[("accept-encoding", "zstd")]).await;
    assert_eq!(response.headers()["content-encoding"], "zstd");
    let mut response = Some(response);
    let received = service_fn(move |_: Request<Full<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(response.take().expect("one request")))
    });
    let decoded = Decompression::new(received).oneshot(Request::default()).await.unwrap();
    let mut received = EventReader::new(decoded);
    for data in ["one", "two", "two", "three"] {
        events.send(data).unwrap();
        assert_eq!(received.next().await.unwrap().data, data);
    }
}

/// Fails a stream once its client has an event and returns how long the failure takes.
async fn fail(coding: &'static str) -> Duration {
    let (fails, failed) = oneshot::channel::<io::Error>();
    let one = stream::iter([Ok(Event::from("one"))]);
    let error = stream::once(async { Err(failed.await.expect("an error")) });
    let events = Arc::new(Mutex::new(Some(one.chain(error))));
    let answer = async move || tower_sse::response(events.lock().unwrap().take().expect("a call"));
    let app = Router::new().route("/events", get(answer)).layer(SseLayer::new());
    let compressor = CompressionLayer::new().compress_when(NotForContentType::const_new("nothing"));
    let address = serve_axum(app.layer(compressor)).await;
    let response = client::get(address, "/events", &[("accept-encoding", coding)]).await;
    let mut body = response.into_body();
    soon(body.frame()).await.unwrap().unwrap();
    let start = Instant::now();
    fails.send(io::Error::other("disk full")).unwrap();
    while let Ok(_more) = soon(body.frame()).await.expect("no clean end") {}
    start.elapsed()
}

/// Compares the time of a failure with and without the coding, in rounds, because one round can be
/// late on a busy machine.
#[tokio::test]
async fn failure_compressed_with_zstd_is_no_later() {
    until_async(async || {
        let (plain, compressed) = tokio::join!(fail("identity"), fail("zstd"));
        compressed < plain + Duration::from_millis(500)
    })
    .await;
}

const HTTP_1_0: &str = "proxy_http_version 1.0;";
const HTTP_1_1: &str = "proxy_http_version 1.1;";

/// By default, the inner nginx removes `X-Accel-Buffering`.
#[tokio::test]
async fn outer_of_two_nginx_needs_http_1_1_or_the_header() {
    let ticks = || IntervalStream::new(interval(Duration::from_millis(100)));
    let events = move || ticks().map(|_| Ok::<_, Infallible>(sse::Event::default().data("tick")));
    let route = get(async move || Sse::new(events()));
    let app = Router::new().route("/events", route).layer(SseLayer::new());
    let server = serve_axum(app).await;
    let behind = async |program: &Path, server: SocketAddr, settings: &str| {
        Proxy::nginx(program, &format!("server {server};"), settings).await
    };
    let read = async |address, count| {
        let mut events = EventReader::new(client::get(address, "/events", &[]).await);
        for _ in 0..count {
            soon(events.next()).await.unwrap();
        }
    };
    let pass_header = "proxy_pass_header X-Accel-Buffering;";
    for program in [find_nginx(), find_newest_nginx()].into_iter().flatten() {
        let cases = [(HTTP_1_0, "", true), (HTTP_1_1, "", false), (HTTP_1_0, pass_header, false)];
        for (outer, inner, holds) in cases {
            let inner = behind(&program, server, inner).await;
            let nginx = behind(&program, inner.address, outer).await;
            // Whether the first event through nginx comes later than ten directly from the server.
            let is_held = tokio::select! {
                () = read(nginx.address, 1) => false,
                () = read(server, 10) => true,
            };
            assert_eq!(is_held, holds, "{program:?} {outer}");
        }
    }
}

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

/// Serves `/ticks`, and on `/flood` events without a pause, whose number is counted.
async fn serve_flood() -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let flood = async move || {
        let events = futures_util::stream::repeat_with(move || {
            counted.fetch_add(1, SeqCst);
            Event::from("x".repeat(4096))
        });
        tower_sse::response(events)
    };
    let ticks = async || {
        let ticks = IntervalStream::new(interval(Duration::from_millis(20)));
        tower_sse::response(ticks.map(|_| Event::from("tick")))
    };
    let app = Router::new().route("/flood", get(flood)).route("/ticks", get(ticks));
    (serve_axum(app.layer(SseLayer::new())).await, count)
}

/// Shows why the guide's HAProxy doesn't share a connection to the server among clients.
#[tokio::test]
async fn client_that_does_not_read_silences_others_on_a_connection_of_haproxy() {
    let Some(certificate) = Certificate::new() else { return };
    for shares in [false, true] {
        let (server, count) = serve_flood().await;
        let app = format!("backend app\n    server one {server}");
        let shared =
            format!("backend app\n    http-reuse always\n    server one {server} proto h2");
        let one_thread = ("defaults\n", "global\n    nbthread 1\ndefaults\n");
        let changes = [one_thread, (&app, if shares { &shared } else { &app })];
        let Some(proxy) = Kind::HaProxy.start(server, &certificate, &changes).await else { return };
        let open = async |path: &str| {
            let mut connection = certificate.connect(proxy.address, Protocol::Http2).await;
            let request = Request::get(format!("https://localhost{path}"));
            (connection.send(request.body(Full::<Bytes>::default()).unwrap()).await, connection)
        };
        let (response, _connection) = open("/ticks").await;
        let mut ticks = EventReader::new(response);
        let _flood = open("/flood").await;
        let mut others = EventReader::new(client::get(server, "/ticks", &[]).await);
        let mut take_directly = async || {
            for _ in 0..100 {
                others.next().await.unwrap();
            }
        };
        // Waits until the client's window and HAProxy's buffers are full.
        let mut before = 0;
        while before < count.load(SeqCst) || before == 0 {
            before = count.load(SeqCst);
            // Takes the ticks that arrive through HAProxy meanwhile.
            tokio::select! {
                () = take_directly() => {}
                () = async { while ticks.next().await.is_some() {} } => {}
            }
        }
        let is_silent = tokio::select! {
            () = take_directly() => true,
            _ = ticks.next() => false,
        };
        assert_eq!(is_silent, shares, "shared connections: {shares}");
    }
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
        // Each thread of a proxy has its own connections to the server.
        let connections = connections_of(proxy.address, &certificate, STREAMS, &count).await;
        if kind == Kind::NewestNginx {
            assert_eq!(connections, STREAMS);
        } else {
            assert!(connections <= STREAMS / 10, "{kind:?}: {connections}");
        }
    }
}
