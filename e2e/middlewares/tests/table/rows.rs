//! The middlewares, sorted by the names of their crates.

use std::task::{Context, Poll};
use std::{fmt::Display, pin::Pin, sync::Mutex, time::Duration};

use axum::error_handling::HandleErrorLayer;
use axum::middleware::{Next, from_fn, map_response};
use axum::response::Response;
use axum::{body::Body, extract::Request};
use axum_governor::{Quota, extractor::PeerIp, nz};
use axum_helmet::Helmet;
use axum_htmx::AutoVaryLayer;
use axum_otel_metrics::HttpMetricsLayerBuilder;
use axum_prometheus::PrometheusMetricLayer;
use axum_server_timing::ServerTimingLayer;
use axum_tracing_opentelemetry::middleware::OtelAxumLayer;
use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header::AUTHORIZATION,
};
use http_cache_tower_server::ServerCacheLayer;
use sentry_tower::{NewSentryLayer, SentryHttpLayer};
use tower::limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer};
use tower::{BoxError, buffer::BufferLayer, load_shed::LoadShedLayer};
use tower_cache_control::CacheControlLayer;
use tower_cookies::CookieManagerLayer;
use tower_governor::{GovernorLayer, governor::GovernorConfig};
use tower_http::add_extension::AddExtensionLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::{CompressionLayer, Predicate};
use tower_http::cors::CorsLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::map_response_body::MapResponseBodyLayer;
use tower_http::metrics::InFlightRequestsLayer;
use tower_http::propagate_header::PropagateHeaderLayer;
use tower_http::request_id::{MakeRequestUuid, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveHeadersLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::{RequestBodyTimeoutLayer, ResponseBodyTimeoutLayer, TimeoutLayer};
use tower_http::trace::TraceLayer;
use tower_http_cache::prelude::{CacheLayer, InMemoryBackend};
use tower_livereload::LiveReloadLayer;
use tower_otel::trace::HttpLayer;
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use tower_resilience::timelimiter::TimeLimiterLayer;
use tower_sessions::{MemoryStore, SessionManagerLayer};

use crate::*;

pub(crate) struct Row {
    pub(crate) package: &'static str,
    pub(crate) layer: &'static str,
    pub(crate) compose: Compose,
    /// Whether the layer does not compile directly around `SseLayer`.
    pub(crate) is_boxed: bool,
}

const fn row(package: &'static str, layer: &'static str, compose: Compose) -> Row {
    Row { package, layer, compose, is_boxed: false }
}

const fn boxed(package: &'static str, layer: &'static str, compose: Compose) -> Row {
    Row { package, layer, compose, is_boxed: true }
}

async fn failed<E: Display>(error: E) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// Puts a layer around `$layer` that turns errors of `$layer` into responses.
macro_rules! handled {
    ($error:ty, $layer:expr) => {
        (HandleErrorLayer::new(failed::<$error>), $layer)
    };
}

fn compressor() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new()
        .compress_when(|_: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| true)
}

fn no_store() -> SetResponseHeaderLayer<HeaderValue> {
    let name = HeaderName::from_static("cache-control");
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static("no-store"))
}

fn peer_quota() -> axum_governor::GovernorLayer<std::net::IpAddr> {
    let quota = Quota::requests_per_second(nz!(50u32));
    let config = axum_governor::GovernorConfigBuilder::default()
        .with_extractor(PeerIp::default())
        .expect_connect_info()
        .quota_default(quota);
    axum_governor::GovernorLayer::new(config.finish().unwrap())
}

/// A body that is `Sync`, because only exclusive access reaches the inner body.
struct SyncBody(Mutex<Body>);

impl SyncBody {
    fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self(Mutex::new(Body::new(body)))
    }
}

impl http_body::Body for SyncBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(self.0.get_mut().unwrap()).poll_frame(cx)
    }
}

/// A time longer than any head takes.
const LONG: Duration = PATIENCE;

pub(crate) static ROWS: &[Row] = &[
    boxed(
        "axum",
        "map_response",
        compose!(boxed map_response(async |response: Response| response)),
    ),
    row(
        "axum",
        "from_fn",
        compose!(from_fn(async |request: Request, next: Next| next.run(request).await)),
    ),
    boxed("axum-governor", "GovernorLayer", compose!(boxed peer_quota())),
    row(
        "axum-helmet",
        "HelmetLayer",
        compose!({
            let layer: axum_helmet::HelmetLayer = Helmet::default().try_into().unwrap();
            layer
        }),
    ),
    boxed("axum-htmx", "AutoVaryLayer", compose!(boxed AutoVaryLayer)),
    row("axum-otel-metrics", "HttpMetricsLayer", compose!(HttpMetricsLayerBuilder::new().build())),
    row("axum-prometheus", "PrometheusMetricLayer", compose!(PrometheusMetricLayer::new())),
    boxed(
        "axum-response-cache",
        "CacheLayer",
        compose!(boxed axum_response_cache::CacheLayer::with_lifespan(LONG)),
    ),
    row("axum-server-timing", "ServerTimingLayer", compose!(ServerTimingLayer::new("app"))),
    row("axum-tracing-opentelemetry", "OtelAxumLayer", compose!(OtelAxumLayer::default())),
    row(
        "http-cache-tower-server",
        "ServerCacheLayer",
        compose!(handled!(BoxError, ServerCacheLayer::new(http_cache::MokaManager::default()))),
    ),
    row(
        "opentelemetry-instrumentation-tower",
        "server::Layer",
        compose!(opentelemetry_instrumentation_tower::http::server::Layer::new()),
    ),
    row(
        "sentry-tower",
        "NewSentryLayer, SentryHttpLayer",
        compose!((
            NewSentryLayer::<Request>::new_from_top(),
            SentryHttpLayer::new().enable_transaction()
        )),
    ),
    row("tower", "BufferLayer", compose!(handled!(BoxError, BufferLayer::new(8)))),
    row("tower", "ConcurrencyLimitLayer", compose!(ConcurrencyLimitLayer::new(1))),
    row("tower", "GlobalConcurrencyLimitLayer", compose!(GlobalConcurrencyLimitLayer::new(1))),
    row("tower", "LoadShedLayer", compose!(handled!(BoxError, LoadShedLayer::new()))),
    row(
        "tower",
        "RateLimitLayer, in a BufferLayer",
        compose!(handled!(
            BoxError,
            (BufferLayer::new(8), RateLimitLayer::new(100, Duration::from_secs(1)))
        )),
    ),
    row(
        "tower",
        "TimeoutLayer",
        compose!(handled!(BoxError, tower::timeout::TimeoutLayer::new(LONG))),
    ),
    row("tower-cache-control", "CacheControlLayer", compose!(CacheControlLayer::default())),
    row("tower-cookies", "CookieManagerLayer", compose!(CookieManagerLayer::new())),
    boxed(
        "tower_governor",
        "GovernorLayer",
        compose!(boxed GovernorLayer::new(GovernorConfig::default())),
    ),
    row("tower-helmet", "HelmetLayer", compose!(tower_helmet::HelmetLayer::with_defaults())),
    row("tower-http", "AddExtensionLayer", compose!(AddExtensionLayer::new(()))),
    row("tower-http", "CatchPanicLayer", compose!(CatchPanicLayer::new())),
    row("tower-http", "CompressionLayer", compose!(CompressionLayer::new())),
    row("tower-http", "CompressionLayer that admits event streams", compose!(compressor())),
    row("tower-http", "CorsLayer", compose!(CorsLayer::permissive())),
    row("tower-http", "InFlightRequestsLayer", compose!(InFlightRequestsLayer::pair().0)),
    row("tower-http", "MapResponseBodyLayer", compose!(MapResponseBodyLayer::new(Body::new))),
    row(
        "tower-http",
        "PropagateHeaderLayer",
        compose!(PropagateHeaderLayer::new(HeaderName::from_static("x-a"))),
    ),
    row("tower-http", "RequestBodyLimitLayer", compose!(RequestBodyLimitLayer::new(1000))),
    row("tower-http", "RequestBodyTimeoutLayer", compose!(RequestBodyTimeoutLayer::new(LONG))),
    row(
        "tower-http",
        "ResponseBodyTimeoutLayer, 1 s",
        compose!(ResponseBodyTimeoutLayer::new(Duration::from_secs(1))),
    ),
    row(
        "tower-http",
        "SetRequestIdLayer",
        compose!(SetRequestIdLayer::x_request_id(MakeRequestUuid)),
    ),
    row("tower-http", "SetResponseHeaderLayer, overriding with `no-store`", compose!(no_store())),
    row(
        "tower-http",
        "SetSensitiveHeadersLayer",
        compose!(SetSensitiveHeadersLayer::new([AUTHORIZATION])),
    ),
    row(
        "tower-http",
        "TimeoutLayer",
        compose!(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LONG)),
    ),
    row("tower-http", "TraceLayer", compose!(TraceLayer::new_for_http())),
    row(
        "tower-http-cache",
        "CacheLayer, around a body that is `Sync`",
        compose!(handled!(
            BoxError,
            (
                CacheLayer::builder(InMemoryBackend::new(10)).build(),
                MapResponseBodyLayer::new(SyncBody::new)
            )
        )),
    ),
    boxed("tower-livereload", "LiveReloadLayer", compose!(boxed LiveReloadLayer::new())),
    row("tower-otel", "HttpLayer", compose!(HttpLayer::server(tracing::Level::INFO))),
    row(
        "tower-resilience",
        "BulkheadLayer",
        compose!(handled!(_, BulkheadLayer::builder().max_concurrent_calls(1).build().unwrap())),
    ),
    row(
        "tower-resilience",
        "CircuitBreakerLayer",
        compose!(handled!(_, CircuitBreakerLayer::builder().build().unwrap())),
    ),
    row(
        "tower-resilience",
        "TimeLimiterLayer",
        compose!(handled!(_, TimeLimiterLayer::builder().timeout_duration(LONG).build())),
    ),
    row(
        "tower-sessions",
        "SessionManagerLayer",
        compose!(SessionManagerLayer::new(MemoryStore::default())),
    ),
];
