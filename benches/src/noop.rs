//! A layer that does only what every layer with its own body type must do.

use std::{future::Future, task::ready};

use http_body::SizeHint;
use pin_project_lite::pin_project;

use crate::*;

#[derive(Clone, Copy)]
pub struct NoopLayer;

impl<S> Layer<S> for NoopLayer {
    type Service = NoopService<S>;

    fn layer(&self, inner: S) -> NoopService<S> {
        NoopService { inner }
    }
}

#[derive(Clone)]
pub struct NoopService<S> {
    inner: S,
}

impl<S, B, C> Service<Request<B>> for NoopService<S>
where
    S: Service<Request<B>, Response = Response<C>>,
{
    type Response = Response<NoopBody<C>>;
    type Error = S::Error;
    type Future = NoopFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        NoopFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    pub struct NoopFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for NoopFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<NoopBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().inner.poll(cx))?;
        Poll::Ready(Ok(response.map(|inner| NoopBody { inner })))
    }
}

pin_project! {
    pub struct NoopBody<B> {
        #[pin]
        inner: B,
    }
}

impl<B: Body> Body for NoopBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
