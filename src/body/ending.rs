use std::{
    error::Error,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::{
    runtime::Handle,
    time::{Sleep, sleep},
};

use crate::{BoxError, connection::CloseReason};

/// How long an error is held back. What hyper has not flushed when a body fails is lost with it, and
/// browsers drop what a failed `fetch` body had queued: one more turn of the runtime is enough on
/// HTTP/1, not on HTTP/2, nor for browsers.
const ERROR_HELD_BACK: Duration = Duration::from_millis(20);

/// What is still to be sent of a stream whose source is gone.
pub(super) struct Ending {
    reason: CloseReason,
    last: Bytes,
    then: Then,
}

enum Then {
    End,
    Trailers(Box<HeaderMap>),
    Fail { error: BoxError, held_back: Option<Pin<Box<Sleep>>> },
}

impl Ending {
    /// A clean end after these bytes.
    pub(super) const fn clean(reason: CloseReason, last: Bytes) -> Self {
        Self { reason, last, then: Then::End }
    }

    /// The source's own end.
    pub(super) fn own(last: Bytes, trailers: Option<Box<HeaderMap>>) -> Self {
        let then = trailers.map_or(Then::End, Then::Trailers);
        Self { reason: CloseReason::Ended, last, then }
    }

    /// A failure after these bytes.
    pub(super) const fn failure(reason: CloseReason, last: Bytes, error: BoxError) -> Self {
        Self { reason, last, then: Then::Fail { error, held_back: None } }
    }

    /// A failure because the stream must end, but a clean end would tell the client something else.
    pub(super) fn cut_short(reason: CloseReason, last: Bytes) -> Self {
        Self::failure(reason, last, Box::new(CutShort(reason)))
    }

    pub(super) const fn is_over(&self) -> bool {
        self.last.is_empty() && matches!(self.then, Then::End)
    }

    /// Why the stream closes if it is dropped now; `None` if the client has left before the end.
    pub(super) const fn reason(&self) -> Option<CloseReason> {
        match self.then {
            Then::End if self.last.is_empty() => Some(self.reason),
            Then::End | Then::Trailers(_) => None,
            Then::Fail { .. } => Some(self.reason),
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.last.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.last)))));
        }
        if let Then::Fail { held_back, .. } = &mut self.then {
            ready!(poll_held_back(held_back, cx));
        }
        Poll::Ready(match mem::replace(&mut self.then, Then::End) {
            Then::End => None,
            Then::Trailers(trailers) => Some(Ok(Frame::trailers(*trailers))),
            Then::Fail { error, .. } => Some(Err(error)),
        })
    }
}

fn poll_held_back(timer: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
    let timer = match timer {
        Some(timer) => timer,
        // Without a runtime there is no timer, nor hyper's connection task.
        None if Handle::try_current().is_err() => return Poll::Ready(()),
        None => timer.insert(Box::pin(sleep(ERROR_HELD_BACK))),
    };
    timer.as_mut().poll(cx)
}

#[derive(Debug)]
struct CutShort(CloseReason);

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the event stream was cut short: {}", self.0)
    }
}

impl Error for CutShort {}
