use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::VARY};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{Config, IntoSse, headers, marker};
use crate::{
    BoxError,
    body::{SseBody, StreamOptions},
};

pin_project! {
    /// The future of a response of [`SseService`](crate::SseService).
    pub struct ResponseFuture<F, M = marker::Http> {
        #[pin]
        inner: Inner<F>,
        // The compiler infers it at the layer, and every type on the way has to hand it on.
        kind: PhantomData<fn() -> M>,
    }
}

pin_project! {
    #[project = InnerProj]
    enum Inner<F> {
        Called { #[pin] future: F, config: Arc<Config>, head: bool, refused: bool },
        // The inner service was not called.
        Refused,
    }
}

impl<F, M> ResponseFuture<F, M> {
    pub(super) const fn new(future: F, config: Arc<Config>, head: bool, refused: bool) -> Self {
        Self { inner: Inner::Called { future, config, head, refused }, kind: PhantomData }
    }

    pub(super) const fn refused() -> Self {
        Self { inner: Inner::Refused, kind: PhantomData }
    }
}

impl<F, M, R, E> Future for ResponseFuture<F, M>
where
    F: Future<Output = Result<R, E>>,
    R: IntoSse<M>,
{
    type Output = Result<Response<SseBody<R::Body>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().inner.project() {
            InnerProj::Called { future, config, head, refused } => {
                let response = ready!(future.poll(cx))?.into_sse();
                Poll::Ready(Ok(
                    if headers::is_event_stream(response.status(), response.headers()) {
                        event_stream(response, config, *head, *refused)
                    } else if R::STREAMS {
                        // A status without a body.
                        response.map(|_| SseBody::empty())
                    } else {
                        response.map(SseBody::foreign)
                    },
                ))
            }
            InnerProj::Refused => Poll::Ready(Ok(not_acceptable(Response::new(())))),
        }
    }
}

/// In a response's extensions: a layer further in has made an event stream of it.
#[derive(Clone)]
struct Owned;

// Out of line, so that a response that is no event stream pays only for the question.
#[cold]
fn event_stream<B>(
    mut response: Response<B>,
    config: &Config,
    head: bool,
    refused: bool,
) -> Response<SseBody<B>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let options = response.extensions_mut().remove::<StreamOptions>();
    if refused && response.status() == StatusCode::OK {
        return not_acceptable(response);
    }
    if response.extensions().get::<Owned>().is_some() {
        return response.map(SseBody::foreign);
    }
    let encoded = headers::has_content_coding(response.headers());
    headers::make_event_stream(response.headers_mut());
    response.extensions_mut().insert(Owned);
    let rules = match options {
        Some(options) => Arc::new(config.rules.with(options)),
        None => Arc::clone(&config.rules),
    };
    response.map(|source| {
        if head { SseBody::unsent() } else { SseBody::event_stream(source, rules, encoded) }
    })
}

/// The client would not know what to do with events.
fn not_acceptable<B, C>(response: Response<B>) -> Response<SseBody<C>> {
    let mut response = response.map(|_| SseBody::empty());
    *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
    headers::make_empty(response.headers_mut());
    response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    response
}

impl<F, M> fmt::Debug for ResponseFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
