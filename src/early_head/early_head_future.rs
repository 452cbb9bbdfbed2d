use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::{future::Future, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::task::coop;
use tokio::time::{Instant, sleep_until};

use super::{
    EarlyHeadBody, early_head_body::Kind, early_head_body::Waiting, late_response::LateEvent,
};
use crate::headers::{TEXT_EVENT_STREAM, forbid_storing};
use crate::{BoxError, exchange::EarlyHead, idle_timer::is_within_reach};

pin_project! {
    /// The response future of [`EarlyHeadService`](super::EarlyHeadService). Dropping it drops the
    /// inner service's future.
    pub struct EarlyHeadFuture<F> {
        #[pin]
        progress: Progress<F>,
    }
}

pin_project! {
    #[project = ProgressProj]
    enum Progress<F> {
        Passing { #[pin] call: F },
        // `None` once the future has returned. Boxed to keep the future small: futures of requests
        // that get no early head have the same size, and are moved too.
        Racing { race: Option<Box<Waiting<F>>> },
        // The client came back after the event that was to stop it.
        Stopped,
    }
}

impl<F> EarlyHeadFuture<F> {
    #[inline]
    pub(super) const fn passing(call: F) -> Self {
        Self { progress: Progress::Passing { call } }
    }

    pub(super) const fn stopped() -> Self {
        Self { progress: Progress::Stopped }
    }

    /// Creates a future that waits for `call` until `after` has passed.
    pub(super) fn racing(
        call: F,
        after: Duration,
        late_event: Option<LateEvent>,
        head: EarlyHead,
    ) -> Self {
        let due = Instant::now().checked_add(after).filter(|due| is_within_reach(*due));
        let call = Box::pin(call);
        let race = Some(Box::new(Waiting { call, late_event, head, due, sleep: None }));
        Self { progress: Progress::Racing { race } }
    }
}

impl<F, B, E> Future for EarlyHeadFuture<F>
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    E: Into<BoxError>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Output = Result<Response<EarlyHeadBody>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = match self.project().progress.project() {
            ProgressProj::Passing { call } => call.poll(cx).map_ok(passing),
            ProgressProj::Racing { race } => poll_race(race, cx),
            ProgressProj::Stopped => return Poll::Ready(Ok(stopped_response())),
        };
        polled.map_ok(|response| response.map(EarlyHeadBody::new))
    }
}

fn passing<F, B>(response: Response<B>) -> Response<Kind<F, B>> {
    response.map(|body| Kind::Passing { body })
}

/// Waits for the call's answer, or for the time at which the head is sent.
// Out of line, so that all other requests pay only for the check.
#[cold]
fn poll_race<F, B, E>(
    race: &mut Option<Box<Waiting<F>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<Kind<F, B>>, E>>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    let Some(racing) = race else { return Poll::Pending };
    if let Poll::Ready(answer) = racing.call.as_mut().poll(cx) {
        let answer = answer.map(|mut response| {
            racing.head.remove_from(response.extensions_mut());
            passing(response)
        });
        *race = None;
        return Poll::Ready(answer);
    }
    let Some(due) = racing.due else { return Poll::Pending };
    let sleep = racing.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
    // The call may have spent tokio's budget, without which a timer is never ready.
    ready!(pin!(coop::unconstrained(sleep)).poll(cx));
    racing.sleep = None;
    race.take().map_or(Poll::Pending, |early| Poll::Ready(Ok(early_response(early))))
}

#[cold]
fn stopped_response() -> Response<EarlyHeadBody> {
    let mut response = Response::new(EarlyHeadBody::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    forbid_storing(response.headers_mut());
    response
}

/// Returns the head that is sent before the call has answered.
fn early_response<F, B>(early: Box<Waiting<F>>) -> Response<Kind<F, B>> {
    let head = early.head.clone();
    let mut response = Response::new(Kind::Waiting { waiting: early });
    response.headers_mut().insert(CONTENT_TYPE, TEXT_EVENT_STREAM);
    response.extensions_mut().insert(head.on_refusal());
    response.extensions_mut().insert(head);
    response
}

opaque_debug!(EarlyHeadFuture<F>);
