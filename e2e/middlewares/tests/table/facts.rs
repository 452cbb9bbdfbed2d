//! Tests of what the guide says about middlewares.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Router, body::Body, routing::get};
use axum_htmx::AutoVaryLayer;
use axum_prometheus::PrometheusMetricLayer;
use axum_response_cache::CacheLayer;
use axum_test::TestServer;
use axum_tracing_opentelemetry::middleware::OtelAxumLayer;
use futures_util::{StreamExt, stream};
use http::{StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use tokio::time::timeout;
use tower::ServiceExt;
use tower_cache_control::CacheControlLayer;
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder};
use tower_http::metrics::InFlightRequestsLayer;
use tower_otel::trace::HttpLayer;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};
use tower_sse::{Event, Refusal, SseLayer};
use tracing_subscriber::{layer, layer::SubscriberExt, registry::LookupSpan};

use crate::support::Requester;

/// Returns a route whose stream sends an event and stays open.
fn endless() -> Router {
    let one = || stream::iter([Event::from("one")]).chain(stream::pending());
    Router::new().route("/", get(async move || tower_sse::response(one())))
}

fn request() -> Request {
    let mut request: Request = Requester::EventSource.request("/");
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
    request
}

async fn ask(app: &Router) -> Response {
    app.clone().oneshot(request()).await.unwrap()
}

/// Turns a limiter's answer into one after which an `EventSource` comes back.
async fn refuse(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let response = next.run(Request::from_parts(parts.clone(), body)).await;
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return response;
    }
    Refusal::too_many_requests().answer(&parts).into_response()
}

#[tokio::test]
async fn limiter_stops_an_event_source_unless_its_answer_becomes_a_refusal() {
    let config = || GovernorConfigBuilder::default().per_second(60).burst_size(1).finish().unwrap();
    let app = endless().layer(SseLayer::new()).layer(GovernorLayer::new(config()));
    let _open = ask(&app).await;
    let response = ask(&app).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers().get(CONTENT_TYPE), None);

    let app = endless().layer(SseLayer::new()).layer(GovernorLayer::new(config()));
    let app = app.layer(from_fn(refuse));
    let _open = ask(&app).await;
    let response = ask(&app).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"retry: "), "{body:?}");
}

/// Returns a stream that changes the session after the head has been sent.
async fn count(session: Session, is_saved: bool) -> impl IntoResponse {
    tower_sse::response(stream::once(async move {
        session.insert("count", 1).await.unwrap();
        if is_saved {
            session.save().await.unwrap();
        }
        Event::from("counted")
    }))
}

#[tokio::test]
async fn session_changes_in_a_stream_only_if_saved_and_with_a_cookie() {
    let routes = Router::new()
        .route("/log-in", get(async |session: Session| session.insert("user", 7).await.unwrap()))
        .route("/unsaved", get(|session| count(session, false)))
        .route("/saved", get(|session| count(session, true)))
        .route(
            "/count",
            get(async |session: Session| {
                format!("{:?}", session.get::<i32>("count").await.unwrap())
            }),
        );
    let app = routes.layer(SseLayer::new()).layer(SessionManagerLayer::new(MemoryStore::default()));
    let send = async |path: &str, cookie: &str| {
        let request = Request::get(path).header("cookie", cookie).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let cookie = response.headers().get("set-cookie").map(|it| it.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (cookie, String::from_utf8(body.to_vec()).unwrap())
    };
    let (cookie, _) = send("/log-in", "").await;
    let cookie = cookie.expect("a session");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(send("/unsaved", cookie).await, (None, "data: counted\n\n".to_owned()));
    assert_eq!(send("/count", cookie).await.1, "None");
    send("/saved", cookie).await;
    assert_eq!(send("/count", cookie).await.1, "Some(1)");
    assert_eq!(send("/saved", "").await.0, None, "no client can name this session");
}

#[tokio::test]
async fn cache_gives_the_stream_of_one_client_to_the_next() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let answer = async move || {
        let call = count.fetch_add(1, SeqCst);
        tower_sse::response(stream::iter([Event::from(call.to_string())]))
    };
    let app = Router::new().route("/", get(answer)).layer(SseLayer::new());
    let app = app.layer(CacheLayer::with_lifespan(Duration::from_secs(60)));
    for _ in 0..2 {
        let response = ask(&app).await;
        assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(b"data: 0\n\n"), "{body:?}");
    }
    assert_eq!(calls.load(SeqCst), 1);
}

#[tokio::test]
async fn durations_end_at_the_head_and_gauges_count_open_streams() {
    let (layer, metrics) = PrometheusMetricLayer::pair();
    let (in_flight, counter) = InFlightRequestsLayer::pair();
    let app = endless().layer(SseLayer::new()).layer(layer).layer(in_flight);
    let value = |name: &str| {
        let line = metrics.render().lines().find(|it| it.starts_with(name)).unwrap().to_owned();
        line.split(' ').next_back().unwrap().parse::<f64>().unwrap()
    };
    let response = ask(&app).await;
    assert_eq!(value("axum_http_requests_duration_seconds_count"), 1.0);
    assert_eq!((value("axum_http_requests_pending"), counter.get()), (1.0, 1));
    drop(response);
    assert_eq!((value("axum_http_requests_pending"), counter.get()), (0.0, 0));
}

#[derive(Clone, Default)]
struct Closed(Arc<AtomicUsize>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> layer::Layer<S> for Closed {
    fn on_close(&self, _: tracing::span::Id, _: layer::Context<'_, S>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[tokio::test]
async fn spans_end_with_the_stream_outside_and_at_the_head_inside() {
    let closed = Closed::default();
    let subscriber = tracing_subscriber::registry().with(closed.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    let sse = SseLayer::new;
    for (app, at_the_head) in [
        (endless().layer(sse()).layer(OtelAxumLayer::default()), 0),
        (endless().layer(OtelAxumLayer::default()).layer(sse()), 1),
        (endless().layer(sse()).layer(HttpLayer::server(tracing::Level::INFO)), 0),
        (endless().layer(HttpLayer::server(tracing::Level::INFO)).layer(sse()), 1),
    ] {
        closed.0.store(0, SeqCst);
        let response = ask(&app).await;
        assert_eq!(closed.0.load(SeqCst), at_the_head);
        drop(response);
        assert_eq!(closed.0.load(SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn test_server_waits_for_the_end_of_a_stream() {
    let server = TestServer::new(endless().layer(SseLayer::new().without_heartbeat()));
    let asked = timeout(Duration::from_secs(3600), async { server.get("/").await });
    assert!(asked.await.is_err());
}

/// `CacheControlLayer` copies the request's `Cache-Control` header, such as a browser's `no-cache`.
/// Without this header, it sets `max-age`.
#[tokio::test]
async fn cache_control_layer_inside_makes_a_stream_cacheable() {
    let app = endless().layer(CacheControlLayer::default()).layer(SseLayer::new());
    for (client, expected) in [
        (Requester::Library, "max-age=5, no-transform"),
        (Requester::EventSource, "no-cache, no-transform"),
    ] {
        let response = app.clone().oneshot(client.request::<Body>("/")).await.unwrap();
        assert_eq!(response.headers()["cache-control"], expected);
    }
}

/// `AutoVaryLayer` waits until the request's extensions are dropped.
#[tokio::test(start_paused = true)]
async fn head_is_held_by_auto_vary_while_the_stream_has_the_request() {
    let events = async move |request: Request| {
        let (parts, _) = request.into_parts();
        tower_sse::response(stream::pending::<Event>().map(move |event| {
            _ = &parts;
            event
        }))
    };
    let app = Router::new().route("/", get(events)).layer(SseLayer::new()).layer(AutoVaryLayer);
    assert!(timeout(Duration::from_secs(3600), ask(&app)).await.is_err());
    let app = endless().layer(SseLayer::new()).layer(AutoVaryLayer);
    assert!(timeout(Duration::from_secs(3600), ask(&app)).await.is_ok());
}
