use axum::body::Body;
use http::{Response, request::Parts};

use crate::support::Sources;

/// Returns a handler that opens a stream for every request.
pub(crate) fn streams() -> (Sources, impl Fn(Parts) -> Response<Body> + Clone + Send + Sync) {
    let (sources, open) = Sources::new();
    (sources, move |request| tower_sse::response(open(request)).map(Body::new))
}
