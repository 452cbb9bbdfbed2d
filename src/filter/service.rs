use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{EventFilter, FilterBody, FilterFuture, options::Options};
use crate::BoxError;

/// The middleware that a [`FilterLayer`](super::FilterLayer) wraps around a service.
///
/// It is ready when the inner service is ready, and its errors are those of the inner service.
pub struct FilterService<S, M: ?Sized> {
    inner: S,
    make: Arc<M>,
    options: Options,
}

impl<S, M: ?Sized> FilterService<S, M> {
    pub(super) const fn new(inner: S, make: Arc<M>, options: Options) -> Self {
        Self { inner, make, options }
    }
}

impl<S, M, F, B, R> Service<Request<B>> for FilterService<S, M>
where
    S: Service<Request<B>, Response = Response<R>>,
    M: Fn(&Request<B>) -> Option<F> + ?Sized,
    F: EventFilter,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<FilterBody<F, R>>;
    type Error = S::Error;
    type Future = FilterFuture<F, S::Future, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let filter = (self.make)(&request);
        let is_head = *request.method() == Method::HEAD;
        FilterFuture::new(filter, self.options, is_head, || self.inner.call(request))
    }
}

impl<S: Clone, M: ?Sized> Clone for FilterService<S, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), make: Arc::clone(&self.make), options: self.options }
    }
}

opaque_debug!(FilterService<S, M: ?Sized>);
