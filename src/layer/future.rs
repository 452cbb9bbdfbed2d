use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::{Admission, Config, InFlight, IntoSse, NotOpened, RequestInfo, marker};
use crate::{
    body::{SseBody, within_layer},
    connection::CloseReason,
    headers,
};

pin_project! {
    /// The response future of [`SseService`](crate::SseService).
    pub struct ResponseFuture<F, M = marker::Http> {
        #[pin]
        inner: Inner<F>,
        config: Arc<Config>,
        request_info: RequestInfo,
        // The compiler infers `M` at the layer, so each type between has to pass it on.
        kind: PhantomData<fn() -> M>,
    }
}

pin_project! {
    #[project = InnerProj]
    enum Inner<F> {
        Called {
            #[pin]
            future: F,
            // Boxed, because most responses have none.
            in_flight: Option<Box<InFlight>>,
        },
        // The inner service was not called.
        NotOpened { reason: NotOpened },
    }
}

impl<F, M> ResponseFuture<F, M> {
    pub(super) const fn new(
        future: F,
        config: Arc<Config>,
        request_info: RequestInfo,
        in_flight: Option<Box<InFlight>>,
    ) -> Self {
        Self { inner: Inner::Called { future, in_flight }, config, request_info, kind: PhantomData }
    }

    pub(super) const fn not_opened(
        reason: NotOpened,
        config: Arc<Config>,
        request_info: RequestInfo,
    ) -> Self {
        Self { inner: Inner::NotOpened { reason }, config, request_info, kind: PhantomData }
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
        let this = self.project();
        let (future, in_flight) = match this.inner.project() {
            InnerProj::Called { future, in_flight } => (future, in_flight),
            InnerProj::NotOpened { reason } => {
                let response = Response::new(());
                let response = reason.answer(this.config, *this.request_info, response);
                return Poll::Ready(Ok(response));
            }
        };
        if in_flight.is_some() {
            return poll_in_flight(future, in_flight, this.config, *this.request_info, cx);
        }
        match within_layer(|| future.poll(cx)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(response)) => {
                let response = response.into_sse();
                if headers::is_event_stream(response.status(), response.headers()) {
                    let admission = Admission::new(this.config, *this.request_info, None);
                    return Poll::Ready(Ok(admission.complete(response)));
                }
                Poll::Ready(Ok(response.map(SseBody::pass_through)))
            }
        }
    }
}

/// Polls the future of a response that is tracked or has subjects.
// Out of line, so that all other responses pay only for the check.
#[cold]
fn poll_in_flight<F, M, R, E>(
    future: Pin<&mut F>,
    in_flight: &mut Option<Box<InFlight>>,
    config: &Config,
    request_info: RequestInfo,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<SseBody<R::Body>>, E>>
where
    F: Future<Output = Result<R, E>>,
    R: IntoSse<M>,
{
    let poll = || within_layer(|| future.poll(cx));
    let result = ready!(match in_flight {
        Some(in_flight) => in_flight.noting_panic(poll),
        None => poll(),
    });
    let in_flight = in_flight.take();
    Poll::Ready(match result {
        Ok(response) => {
            let admission = Admission::new(config, request_info, in_flight);
            Ok(admission.complete(response.into_sse()))
        }
        Err(error) => {
            if let Some(in_flight) = in_flight {
                in_flight.end(CloseReason::Failed);
            }
            Err(error)
        }
    })
}

impl<F, M> fmt::Debug for ResponseFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
