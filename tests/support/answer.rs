use std::{convert::Infallible, future::ready};

use tower_sse::StreamOptions;

use super::*;

pub fn event_stream<B>(body: B) -> Response<B> {
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}

pub trait ResponseExt {
    fn with_status(self, status: u16) -> Self;
    fn with_header(self, name: &'static str, value: &'static str) -> Self;
    fn with_options(self, options: StreamOptions) -> Self;
}

impl<B> ResponseExt for Response<B> {
    fn with_status(mut self, status: u16) -> Self {
        *self.status_mut() = status.try_into().unwrap();
        self
    }

    fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers_mut().insert(name, HeaderValue::from_static(value));
        self
    }

    fn with_options(mut self, options: StreamOptions) -> Self {
        self.extensions_mut().insert(options);
        self
    }
}

pub fn through<M, R>(layer: &SseLayer<M>, answer: R) -> Response<SseBody<R::Body>>
where
    R: IntoSse<M>,
{
    answer_to(Request::new(()), layer, answer)
}

pub fn answer_to<M, R>(
    request: Request<()>,
    layer: &SseLayer<M>,
    answer: R,
) -> Response<SseBody<R::Body>>
where
    R: IntoSse<M>,
{
    answer_by(request, layer, |_| answer)
}

pub fn answer_by<M, R>(
    request: Request<()>,
    layer: &SseLayer<M>,
    handler: impl FnOnce(Request<()>) -> R,
) -> Response<SseBody<R::Body>>
where
    R: IntoSse<M>,
{
    let mut handler = Some(handler);
    let mut service = layer.layer(service_fn(|request: Request<()>| {
        let handler = handler.take().expect("one request");
        ready(Ok::<_, Infallible>(handler(request)))
    }));
    let mut call = std::pin::pin!(service.call(request));
    let answer = call.as_mut().now_or_never().or_else(|| {
        // The head of a `204` is held for a second. The call finds the paused clock advanced.
        _ = tokio::time::advance(std::time::Duration::from_secs(1)).now_or_never();
        call.now_or_never()
    });
    let Ok(response) = answer.expect("the answer is ready");
    response
}
