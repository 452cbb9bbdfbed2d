use std::{
    future::{Future, ready},
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::join::join_or_call;
use crate::{
    BoxError,
    runs::{InvalidKey, RunBody, RunKey, Runs, answer},
};

/// The middleware that a [`RunLayer`](crate::runs::RunLayer) wraps around a service.
///
/// It is ready when the inner service is ready, and its errors are those of the inner service.
pub struct RunService<S, K> {
    inner: S,
    runs: Runs,
    key: K,
}

impl<S, K> RunService<S, K> {
    pub(crate) const fn new(inner: S, runs: Runs, key: K) -> Self {
        Self { inner, runs, key }
    }

    /// Returns a reference to the inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, K, B, R> Service<Request<B>> for RunService<S, K>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    K: Fn(&Request<B>) -> Option<Result<RunKey, InvalidKey>>,
    B: Send + 'static,
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<RunBody<R>>;
    type Error = S::Error;
    type Future = RunFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let passes = matches!(*request.method(), Method::HEAD | Method::OPTIONS);
        let key = if passes { None } else { (self.key)(&request) };
        let Some(key) = key else {
            let future = self.inner.call(request);
            return RunFuture { kind: Kind::PassThrough { future } };
        };
        let key = match key {
            Ok(key) => key,
            Err(error) => {
                let response = answer::bad_request(&error).map(RunBody::answer);
                return RunFuture { kind: Kind::Keyed { answer: Box::pin(ready(Ok(response))) } };
            }
        };
        // The call takes the service that is ready, and leaves the clone in its place.
        let clone = self.inner.clone();
        let service = mem::replace(&mut self.inner, clone);
        let answer = Box::pin(join_or_call(self.runs.clone(), key, service, request));
        RunFuture { kind: Kind::Keyed { answer } }
    }
}

impl<S: Clone, K: Clone> Clone for RunService<S, K> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.runs.clone(), self.key.clone())
    }
}

opaque_debug!(RunService<S, K>);

pin_project! {
    /// The response future of [`RunService`].
    ///
    /// Dropping it detaches the client if the request has a key; the call continues. Otherwise, the
    /// inner future is dropped too.
    pub struct RunFuture<F, R, E> {
        #[pin]
        kind: Kind<F, R, E>,
    }
}

/// The answer to a request with a key.
type Keyed<R, E> = dyn Future<Output = Result<Response<RunBody<R>>, E>> + Send;

pin_project! {
    #[project = KindProj]
    enum Kind<F, R, E> {
        PassThrough { #[pin] future: F },
        Keyed { answer: Pin<Box<Keyed<R, E>>> },
    }
}

impl<F, R, E> Future for RunFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<RunBody<R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::PassThrough { future } => {
                future.poll(cx).map_ok(|response| response.map(RunBody::pass_through))
            }
            KindProj::Keyed { answer } => answer.as_mut().poll(cx),
        }
    }
}

opaque_debug!(RunFuture<F, R, E>);
