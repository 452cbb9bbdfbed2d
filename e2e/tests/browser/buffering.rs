//! What decides whether nginx holds events back, and which proxies share connections to the server.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    response::{Sse, sse},
    routing::get,
    serve::ListenerExt,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream::pending};
use http::Request;
use http_body_util::Full;
use tokio::time::interval;
use tokio_stream::wrappers::IntervalStream;
use tower_sse::{Event, SseLayer};

use crate::{proxy::is_older, *};

const HTTP_1_0: &str = "proxy_http_version 1.0;";
const HTTP_1_1: &str = "proxy_http_version 1.1;";

/// Returns whether the first event comes later than ten events that come directly from the server.
async fn is_held(nginx: &Nginx, path: &str, server: SocketAddr) -> bool {
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

async fn behind(program: &Path, server: SocketAddr, settings: &str) -> Nginx {
    Nginx::start_with(program, &format!("server {server};"), settings).await
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
        let Some(proxy) = Proxy::start(kind, server, &certificate, &[(&from, &to)]).await else {
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
