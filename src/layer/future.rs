use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Response, StatusCode};
use pin_project_lite::pin_project;

use super::{Config, InFlight, IntoSse, NotOpened, RequestInfo, marker};
use crate::{body::SseBody, connection::CloseReason, headers, signals::within_layer};

pin_project! {
    /// The response future of [`SseService`](crate::SseService).
    pub struct ResponseFuture<F, M = marker::Http> {
        #[pin]
        state: State<F>,
        // The compiler infers `M` at the layer, so each type between has to pass it on.
        kind: PhantomData<fn() -> M>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Called {
            #[pin]
            future: F,
            completion: Completion,
        },
        // The inner service was not called.
        NotOpened { reason: NotOpened, config: Arc<Config>, request: RequestInfo },
    }
}

/// What completes the response of a called service.
// Two words, because futures are moved several times before they are polled.
pub(super) enum Completion {
    Untracked { config: Arc<Config>, request: RequestInfo },
    InFlight(Box<InFlight>),
}

impl<F, M> ResponseFuture<F, M> {
    #[inline]
    pub(super) const fn called(future: F, completion: Completion) -> Self {
        Self { state: State::Called { future, completion }, kind: PhantomData }
    }

    pub(super) const fn not_opened(
        reason: NotOpened,
        config: Arc<Config>,
        request: RequestInfo,
    ) -> Self {
        Self { state: State::NotOpened { reason, config, request }, kind: PhantomData }
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
        let (future, completion) = match self.project().state.project() {
            StateProj::Called { future, completion } => (future, completion),
            StateProj::NotOpened { reason, config, request } => {
                return Poll::Ready(Ok(reason.answer(config, *request, Response::new(()))));
            }
        };
        let (config, request) = match completion {
            Completion::Untracked { config, request } => (config, *request),
            Completion::InFlight(in_flight) => return poll_in_flight(future, in_flight, cx),
        };
        match within_layer(|| future.poll(cx)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(response)) => {
                let response = response.into_sse();
                if may_concern_layer(&response) {
                    let mut in_flight = InFlight::new(config, request);
                    return Poll::Ready(Ok(in_flight.complete(response)));
                }
                Poll::Ready(Ok(response.map(SseBody::pass_through)))
            }
        }
    }
}

/// Returns whether a response can be an event stream, or a refusal that is to be counted.
#[inline]
fn may_concern_layer<B>(response: &Response<B>) -> bool {
    matches!(response.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
        || headers::is_event_stream(response.status(), response.headers())
}

/// Polls the future of a response that is tracked or has subjects.
// Out of line, so that all other responses pay only for the check.
#[cold]
fn poll_in_flight<F, M, R, E>(
    future: Pin<&mut F>,
    in_flight: &mut InFlight,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<SseBody<R::Body>>, E>>
where
    F: Future<Output = Result<R, E>>,
    R: IntoSse<M>,
{
    let poll = || within_layer(|| future.poll(cx)).map_ok(IntoSse::into_sse);
    Poll::Ready(match ready!(in_flight.noting_panic(poll)) {
        Ok(response) => Ok(in_flight.complete(response)),
        Err(error) => {
            in_flight.end(CloseReason::Failed);
            Err(error)
        }
    })
}

opaque_debug!(ResponseFuture<F, M>);

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::ResponseFuture;

    #[test]
    fn future_is_two_words_larger_than_that_of_the_service() {
        type Inner = [usize; 30];
        assert_eq!(size_of::<ResponseFuture<Inner>>(), size_of::<Inner>() + 2 * size_of::<usize>());
    }
}
