//! Stacks that do not compile. `tests/table` builds this with the feature `uncomposable` and
//! compares the compiler's errors with docs/middlewares.md.

use std::time::Duration;

use axum::{Router, error_handling::HandleErrorLayer, http::StatusCode};
use axum::{middleware::map_response, response::Response};
use tower::{BoxError, ServiceBuilder};
use tower_etag_cache::{EtagCacheLayer, const_lru_provider::ConstLruProvider};
use tower_governor::{GovernorLayer, governor::GovernorConfig};
use tower_http_cache::prelude::{CacheLayer, InMemoryBackend};
use tower_livereload::LiveReloadLayer;
use tower_sse::SseLayer;

fn main() {}

async fn failed(_: BoxError) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn unchanged(response: Response) -> Response {
    response
}

pub fn axum(routes: Router) -> Router {
    routes.layer(ServiceBuilder::new().layer(map_response(unchanged)).layer(SseLayer::new()))
}

pub fn axum_governor(routes: Router) -> Router {
    let quota = axum_governor::Quota::requests_per_second(axum_governor::nz!(50u32));
    let config = axum_governor::GovernorConfigBuilder::default()
        .with_extractor(axum_governor::extractor::PeerIp::default())
        .expect_connect_info()
        .quota_default(quota);
    let limit = axum_governor::GovernorLayer::new(config.finish().unwrap());
    routes.layer(ServiceBuilder::new().layer(limit).layer(SseLayer::new()))
}

pub fn axum_htmx(routes: Router) -> Router {
    routes.layer(ServiceBuilder::new().layer(axum_htmx::AutoVaryLayer).layer(SseLayer::new()))
}

pub fn axum_response_cache(routes: Router) -> Router {
    let cache = axum_response_cache::CacheLayer::with_lifespan(Duration::from_secs(60));
    routes.layer(ServiceBuilder::new().layer(cache).layer(SseLayer::new()))
}

/// Does not compile around a router without `SseLayer` either.
pub fn tower_etag_cache(routes: Router) -> Router {
    let cache = EtagCacheLayer::with_default_predicate(ConstLruProvider::<_, _, 255, u8>::init(5));
    routes.layer(ServiceBuilder::new().layer(HandleErrorLayer::new(failed)).layer(cache))
}

pub fn tower_governor(routes: Router) -> Router {
    let limit = GovernorLayer::new(GovernorConfig::default());
    routes.layer(ServiceBuilder::new().layer(limit).layer(SseLayer::new()))
}

/// Does not compile around a router without `SseLayer` either.
pub fn tower_http_cache(routes: Router) -> Router {
    let cache = CacheLayer::builder(InMemoryBackend::new(10)).build();
    routes.layer(ServiceBuilder::new().layer(HandleErrorLayer::new(failed)).layer(cache))
}

pub fn tower_livereload(routes: Router) -> Router {
    routes.layer(ServiceBuilder::new().layer(LiveReloadLayer::new()).layer(SseLayer::new()))
}
