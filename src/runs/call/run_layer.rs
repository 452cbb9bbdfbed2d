use std::future::{self, Future};
use std::task::{Context, Poll, ready};
use std::{mem, pin::Pin};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::join::{join_or_call, pass};
use crate::body::SseBody;
use crate::runs::{InvalidKey, RunKey, Runs, answer};
use crate::{BoxError, connection::DisconnectGuard};

impl Runs {
    /// Creates a layer that makes a service's event streams resumable.
    ///
    /// `key` returns the key of a request's run, or `None` to let the request pass unchanged.
    /// [`RunLayer`] says what happens to requests and responses.
    ///
    /// Put the layer inside [`SseLayer`](crate::SseLayer) and inside any layers that authenticate.
    /// The [module](crate::runs) has an example.
    pub fn layer<K, B>(&self, key: K) -> RunLayer<K>
    where
        K: Fn(&Request<B>) -> Option<Result<RunKey, InvalidKey>>,
    {
        RunLayer { runs: self.clone(), key }
    }
}

/// A layer that makes the event streams of a service resumable, created by
/// [`Runs::layer`](crate::runs::Runs::layer).
///
/// # Requests
///
/// The first request with a key calls the service. While the run is in progress, other requests
/// with this key but no last event id wait for the response head. They then get the same events,
/// even if the request bodies differ. After the run has completed, such requests get these events
/// too, for as long as the run is kept.
///
/// A request with a key and a last event id never reaches the service. The id comes from the
/// `Last-Event-ID` header, or from the query if an outer [`SseLayer`](crate::SseLayer) reads it
/// there. [`Runs`](crate::runs::Runs#answers) lists all answers.
///
/// A request without a key passes unchanged, as do `HEAD` and `OPTIONS` requests. Any other method
/// can start a run, so have the `key` closure return `None` for a `DELETE` request that stops a
/// run. A request with an [invalid](crate::runs::InvalidKey) key gets `400`.
///
/// For a recorded stream, the service's [`Disconnect`](crate::Disconnect) fires when the run is
/// over, not when a client disconnects.
///
/// # Responses
///
/// An event stream with status 200 and no content coding is recorded. The first client gets the
/// service's response head. Other clients get the headers of an event stream and the handler's
/// [`StreamOptions`](crate::StreamOptions), but not `max_age`, `long_poll` or `on_close`. For
/// clients of other processes, the handler's `on_error` isn't called either.
///
/// An error, a [`Refusal`](crate::Refusal), or any other response goes only to the first client.
/// The key is then free again, and one of the waiting requests calls the service.
///
/// If the service panics before it answers, the panic propagates to the first request's future, and
/// the key is free again.
///
/// # Services
///
/// For a request with a key, the service's future runs on a separate task and continues if an outer
/// timeout layer gives up. The service must be `Clone`, and the service, its future, its errors and
/// all bodies must be `Send` and `'static`.
#[derive(Clone)]
pub struct RunLayer<K> {
    runs: Runs,
    key: K,
}

impl<S, K: Clone> Layer<S> for RunLayer<K> {
    type Service = RunService<S, K>;

    fn layer(&self, inner: S) -> RunService<S, K> {
        RunService { inner, runs: self.runs.clone(), key: self.key.clone() }
    }
}

opaque_debug!(RunLayer<K>);

/// The middleware that a [`RunLayer`] wraps around a service.
#[derive(Clone)]
pub struct RunService<S, K> {
    inner: S,
    runs: Runs,
    key: K,
}

impl<S, K> RunService<S, K> {
    inner_service_accessors!();
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
    type Response = Response<SseBody<R>>;
    type Error = S::Error;
    type Future = RunFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let passes = matches!(*request.method(), Method::HEAD | Method::OPTIONS);
        let key = if passes { None } else { (self.key)(&request) };
        let Some(key) = key else {
            let future = self.inner.call(request);
            return RunFuture { kind: FutureKind::PassThrough { future } };
        };
        let answer: Pin<Box<Keyed<_>>> = match key {
            Ok(key) => {
                // The call takes the service that is ready and leaves the clone in its place.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                Box::pin(join_or_call(self.runs.clone(), key, service, request))
            }
            Err(error) => Box::pin(future::ready(Ok(answer::bad_request(&error)))),
        };
        RunFuture { kind: FutureKind::Keyed { answer } }
    }
}

opaque_debug!(RunService<S, K>);

pin_project! {
    /// The response future of [`RunService`]. If the request has no key, dropping this future drops
    /// the service's future. If the request has a key, dropping this future detaches the client. If
    /// the request has already called the service, that call continues.
    pub struct RunFuture<F: Future> {
        #[pin]
        kind: FutureKind<F>,
    }
}

/// The future of the answer to a request with a key. `Ok` is an answer of this layer. `Err` is what
/// the service returned, with the guard of the call's `Disconnect`, if any.
type Keyed<T> = dyn Future<Output = Result<Response<SseBody>, (T, Option<DisconnectGuard>)>> + Send;

pin_project! {
    #[project = FutureKindProj]
    enum FutureKind<F: Future> {
        PassThrough { #[pin] future: F },
        Keyed { answer: Pin<Box<Keyed<F::Output>>> },
    }
}

impl<F, R, E> Future for RunFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<SseBody<R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            FutureKindProj::PassThrough { future } => {
                future.poll(cx).map_ok(|response| response.map(SseBody::pass_through))
            }
            FutureKindProj::Keyed { answer } => {
                Poll::Ready(match ready!(answer.as_mut().poll(cx)) {
                    Ok(response) => Ok(response.map(SseBody::of_service)),
                    Err(other) => pass(other),
                })
            }
        }
    }
}

opaque_debug!(RunFuture<F: Future>);
