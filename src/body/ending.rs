use std::{
    error::Error,
    fmt, mem,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::Hold;
use crate::{BoxError, connection::CloseReason};

/// What is still to be sent of a stream whose source is gone.
pub(super) struct Ending {
    reason: CloseReason,
    last: Bytes,
    then: Then,
}

enum Then {
    End,
    Trailers(Box<HeaderMap>),
    Fail { error: BoxError, hold: Hold },
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
    pub(super) fn failure(reason: CloseReason, last: Bytes, error: BoxError) -> Self {
        let (last, hold) = Hold::after(last);
        Self { reason, last, then: Then::Fail { error, hold } }
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
        if let Then::Fail { hold, .. } = &mut self.then {
            ready!(hold.poll_over(cx));
        }
        Poll::Ready(match mem::replace(&mut self.then, Then::End) {
            Then::End => None,
            Then::Trailers(trailers) => Some(Ok(Frame::trailers(*trailers))),
            Then::Fail { error, .. } => Some(Err(error)),
        })
    }
}

#[derive(Debug)]
struct CutShort(CloseReason);

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the event stream was cut short: {}", self.0)
    }
}

impl Error for CutShort {}
