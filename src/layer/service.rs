use std::task::{Context, Poll};
use std::{marker::PhantomData, sync::Arc};

use http::{Extensions, Request, Response};
use tower_service::Service;

use super::ResponseFuture;
use super::{Completion, Config, FutureState, InFlight, IntoSse, RequestInfo, marker};
use crate::{body::SseBody, connection::HeaderScan, options::StreamOptions, streams::Subjects};

/// The middleware that [`SseLayer`](crate::SseLayer) wraps around a service.
///
/// It is ready when the inner service is ready, and its errors are those of the inner service.
#[derive(Debug)]
pub struct SseService<S, M = marker::Http> {
    inner: S,
    config: Arc<Config>,
    kind: PhantomData<fn() -> M>,
}

impl<S, M> SseService<S, M> {
    pub(super) const fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config, kind: PhantomData }
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

impl<S, M, B> Service<Request<B>> for SseService<S, M>
where
    S: Service<Request<B>, Response: IntoSse<M>>,
{
    type Response = Response<SseBody<<S::Response as IntoSse<M>>::Body>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let scan = HeaderScan::of(request.headers());
        if scan.has_last_event_id || !self.config.last_event_id_query.is_empty() {
            self.config.insert_last_event_id(&mut request);
        }
        let info = RequestInfo::new(&self.config, request.method(), request.headers(), scan);
        // `STREAMS` is a constant, so services that never return bare streams have no code for a
        // refusal. The compiler copies the future once for each path that returns one.
        let in_flight = if S::Response::STREAMS {
            match InFlight::open(&self.config, &mut request, info) {
                Ok(in_flight) => Some(in_flight),
                Err(reason) => {
                    let config = Arc::clone(&self.config);
                    let request = info;
                    return ResponseFuture::new(FutureState::NotOpened { reason, config, request });
                }
            }
        } else if self.config.tracks_all || concerns_stream(request.extensions()) {
            InFlight::track(&self.config, &mut request, info)
        } else {
            None
        };
        let future = self.inner.call(request);
        // Cloned after the call, which would otherwise have to drop it when it panics.
        let completion = match in_flight {
            Some(in_flight) => Completion::InFlight(in_flight),
            None => Completion::Untracked { config: Arc::clone(&self.config), request: info },
        };
        ResponseFuture::new(FutureState::Called { future, completion })
    }
}

/// Returns whether something outside of the layer has put into a request what is for its stream.
#[inline]
fn concerns_stream(extensions: &Extensions) -> bool {
    extensions.get::<Subjects>().is_some() || extensions.get::<StreamOptions>().is_some()
}

impl<S: Clone, M> Clone for SseService<S, M> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.config))
    }
}
