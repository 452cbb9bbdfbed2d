use std::mem;

use axum::{Router, body::Body as AxumBody, extract, response, routing::get};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use http_body_util::Full;
use tower::service_fn;
use tower_sse::{early_head::EarlyHeadLayer, stats::Stats};

use super::{drain::drain, noop::NoopLayer};
use crate::*;

pub const BARE: &str = "no event stream bare";
pub const AXUM: &str = "no event stream in axum";
/// The works whose responses are not event streams.
pub const WORKS: [&str; 2] = [BARE, AXUM];
/// A stream of one event, from the call to the end of the body.
const STREAM: &str = "event stream of one event";
pub const NO_LAYER: &str = "no layer";
pub const NO_OP: &str = "no-op layer";
pub const EARLY: &str = "tower-sse with an early head";

/// Returns cases that measure a whole response, from the call to the end of its body. Some
/// responses are event streams, others aren't.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new(BARE, NO_LAYER, requests(service_fn(answer))),
        Case::new(BARE, NO_OP, requests(NoopLayer.layer(service_fn(answer)))),
        Case::new(BARE, OURS, requests(SseLayer::new().layer(service_fn(answer)))),
        Case::new(BARE, EARLY, {
            requests(SseLayer::new().layer(early().layer(service_fn(answer))))
        }),
        Case::new(BARE, "with timings", requests(timed().layer(service_fn(answer)))),
        Case::new(BARE, "with timings, a label and statistics", {
            requests(observed().layer(service_fn(answer)))
        }),
        Case::new(STREAM, OURS, requests(SseLayer::new().layer(service_fn(stream)))),
        Case::new(STREAM, EARLY, {
            requests(SseLayer::new().layer(early().layer(service_fn(stream))))
        }),
        Case::new(STREAM, "with timings", requests(timed().layer(service_fn(stream)))),
        Case::new(STREAM, "with timings, a label and statistics", {
            requests(observed().layer(service_fn(stream)))
        }),
        Case::new(AXUM, NO_LAYER, requests(served(router()))),
        Case::new(AXUM, NO_OP, requests(served(router().layer(NoopLayer)))),
        Case::new(AXUM, OURS, requests(served(router().layer(SseLayer::new())))),
    ]
}

const EVENT: Bytes = Bytes::from_static(b"data: hello\n\n");
const GREETING: Bytes = Bytes::from_static(b"{\"hello\":\"world\"}");

/// A service whose response is no event stream.
pub async fn answer(request: Request<AxumBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (request, _) = request.into_parts();
    let mut response = Response::new(Full::new(GREETING));
    *response.headers_mut() = request.headers;
    Ok(response)
}

/// A service whose response is an event stream.
async fn stream(request: Request<AxumBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = answer(request).await?;
    *response.body_mut() = Full::new(EVENT);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn early() -> EarlyHeadLayer {
    EarlyHeadLayer::new(std::time::Duration::from_secs(10))
}

fn timed() -> SseLayer {
    SseLayer::new().timings(true)
}

fn observed() -> SseLayer {
    timed().label(|_| "route").stats(&Stats::new())
}

fn router() -> Router {
    Router::new().route("/", get(handler))
}

/// Finishes the router as `axum::serve` does; otherwise layers are applied anew for every request.
fn served(router: Router) -> Router {
    router.with_state(())
}

async fn handler(request: extract::Request) -> response::Response {
    let (request, _) = request.into_parts();
    let mut response = response::Response::new(AxumBody::from(GREETING));
    *response.headers_mut() = request.headers;
    response
}

/// Calls `service` repeatedly and polls its future where hyper keeps it: in a box that lives as
/// long as the connection. The response takes over the request's headers, and the next request
/// takes over the response's headers. So both have a realistic number of headers without an
/// allocation.
pub fn requests<S, B>(mut service: S) -> impl FnMut(u64) -> u64
where
    S: Service<Request<AxumBody>, Response = Response<B>, Error = Infallible>,
    B: Body<Error: Debug>,
{
    let mut headers = headers();
    let mut in_flight: Pin<Box<Option<S::Future>>> = Box::pin(None);
    move |times| {
        let mut bytes = 0;
        for _ in 0..times {
            let mut request = Request::new(AxumBody::empty());
            *request.headers_mut() = mem::take(&mut headers);
            in_flight.set(Some(service.call(black_box(request))));
            let future = black_box(&mut in_flight).as_mut().as_pin_mut().expect("one in flight");
            let Ok(response) = now(future);
            in_flight.set(None);
            let (response, body) = response.into_parts();
            headers = response.headers;
            bytes += drain(body);
        }
        bytes
    }
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([
        (HOST, HeaderValue::from_static("localhost")),
        (USER_AGENT, HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64)")),
        (ACCEPT, HeaderValue::from_static("*/*")),
        (ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br, zstd")),
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ])
}
