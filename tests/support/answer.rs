use std::{
    convert::Infallible,
    future::Future,
    task::{Context, Poll, Waker},
};

use http::{Request, Response};
use tower::{Layer, Service, service_fn};
use tower_sse::{IntoSse, SseBody, SseLayer};

/// Returns the response of an event stream with this `body`.
pub fn event_stream<B>(body: B) -> Response<B> {
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}

/// Passes `answer` through a service inside `layer`.
pub fn through<M, R>(layer: &SseLayer<M>, answer: R) -> Response<SseBody<R::Body>>
where
    R: IntoSse<M>,
{
    answer_to(Request::new(()), layer, answer)
}

/// Passes `answer` to `request` through a service inside `layer`.
pub fn answer_to<M, R>(
    request: Request<()>,
    layer: &SseLayer<M>,
    answer: R,
) -> Response<SseBody<R::Body>>
where
    R: IntoSse<M>,
{
    let mut answer = Some(answer);
    let inner = service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(answer.take().expect("one request")))
    });
    let future = layer.layer(inner).call(request);
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => response,
        Poll::Pending => panic!("the answer is ready"),
    }
}
