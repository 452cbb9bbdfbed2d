use std::pin::pin;

use axum::{body::Body, extract::Request, response::Response};
use futures_util::poll;
use tower::{BoxError, limit::ConcurrencyLimitLayer, load_shed::error::Overloaded};

use super::application::{Place, application, assert_streams, call, get_request};
use crate::*;

/// tower's limit counts requests in progress and not open streams: its permit is released as soon
/// as the head is ready.
#[tokio::test]
async fn concurrency_limit_counts_heads_not_streams() {
    for place in Place::BOTH {
        let (app, mut sources) = place.compose(SseLayer::new(), ConcurrencyLimitLayer::new(1));

        let first = call(&app, get_request("/events", &[])).await;
        let second = call(&app, get_request("/events", &[])).await;
        for response in [first, second] {
            assert_streams(response, sources.next().await).await;
        }
    }
}

/// Asserts that a second request is shed while one is in progress, and that a stream passes once
/// there is room.
async fn assert_sheds<S, B>(service: S, mut sources: Sources)
where
    S: Service<Request, Response = Response<B>, Error = BoxError> + Clone,
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin,
{
    {
        let mut at_work = pin!(service.clone().oneshot(get_request("/never", &[])));
        assert!(poll!(&mut at_work).is_pending());
        let shed = service.clone().oneshot(get_request("/events", &[])).await;
        assert!(shed.err().expect("no room").is::<Overloaded>());
        assert!(sources.is_empty());
    }
    let response = service.oneshot(get_request("/events", &[])).await.unwrap();
    assert_streams(response, sources.next().await).await;
}

#[tokio::test]
async fn load_shed_sheds_outside_and_inside() {
    let (app, sources) = application();
    let outside = ServiceBuilder::new().load_shed().concurrency_limit(1).layer(SseLayer::new());
    assert_sheds(outside.service(app), sources).await;

    let (app, sources) = application();
    let inside = ServiceBuilder::new().layer(SseLayer::new()).load_shed().concurrency_limit(1);
    assert_sheds(inside.service(app), sources).await;
}

#[tokio::test]
async fn buffer_passes_streams_outside_and_inside() {
    let (app, mut sources) = application();
    let outside = ServiceBuilder::new().buffer(4).layer(SseLayer::new()).service(app);
    let response = outside.oneshot(get_request("/events", &[])).await.unwrap();
    assert_streams(response, sources.next().await).await;

    let (app, mut sources) = application();
    let inside = ServiceBuilder::new().layer(SseLayer::new()).buffer(4).service(app);
    let response = inside.oneshot(get_request("/events", &[])).await.unwrap();
    assert_streams(response, sources.next().await).await;
}

#[tokio::test]
async fn error_type_of_a_service_is_kept() {
    async fn fails(_: Request) -> io::Result<Response> {
        Err(io::ErrorKind::OutOfMemory.into())
    }

    let plain = ServiceBuilder::new().layer(SseLayer::new()).service_fn(fails);
    let error: io::Error = plain.oneshot(Request::default()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);

    let outside = ServiceBuilder::new().buffer(4).layer(SseLayer::new()).service_fn(fails);
    let inside = ServiceBuilder::new().layer(SseLayer::new()).buffer(4).service_fn(fails);
    for error in [
        outside.oneshot(Request::default()).await.unwrap_err(),
        inside.oneshot(Request::default()).await.unwrap_err(),
    ] {
        let error = error.downcast::<io::Error>().expect("the service's own error");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }
}

#[tokio::test]
async fn service_that_cannot_fail_still_cannot() {
    fn infallible<S: Service<Request<Body>, Error = Infallible>>(service: S) -> S {
        service
    }

    let (app, mut sources) = application();
    let service = infallible(ServiceBuilder::new().layer(SseLayer::new()).service(app));
    let Ok(response) = service.oneshot(get_request("/events", &[])).await;
    assert_streams(response, sources.next().await).await;

    let service =
        ServiceBuilder::new().layer(SseLayer::new()).service(service_fn(|_: Request| async {
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
    infallible(service).oneshot(Request::default()).await.unwrap();
}
