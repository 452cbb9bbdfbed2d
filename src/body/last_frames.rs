use std::{
    error::Error,
    fmt, mem,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::FlushWait;
use crate::{BoxError, connection::CloseReason, signals::ItemError};

/// The last frames of a stream whose source was dropped.
pub(super) struct LastFrames {
    reason: CloseReason,
    /// Boxed, because every open stream reserves space for a `LastFrames`.
    rest: Option<Box<Rest>>,
}

struct Rest {
    last: Bytes,
    then: Then,
}

enum Then {
    End,
    Trailers(HeaderMap),
    Fail { error: BoxError, flush: FlushWait },
}

impl LastFrames {
    /// Creates a clean end after the bytes `last`.
    pub(super) fn clean(reason: CloseReason, last: Bytes) -> Self {
        let rest = (!last.is_empty()).then(|| Box::new(Rest { last, then: Then::End }));
        Self { reason, rest }
    }

    /// Creates the end of a stream whose source ended cleanly, after the bytes `last`.
    pub(super) fn own(last: Bytes, trailers: Option<HeaderMap>) -> Self {
        match trailers {
            None => Self::clean(CloseReason::Ended, last),
            Some(trailers) => {
                let rest = Rest { last, then: Then::Trailers(trailers) };
                Self { reason: CloseReason::Ended, rest: Some(Box::new(rest)) }
            }
        }
    }

    /// Creates a failure with `error` after the bytes `last`.
    pub(super) fn failure(reason: CloseReason, last: Bytes, error: BoxError) -> Self {
        let (last, flush) = FlushWait::after(last);
        let error = ItemError::unmark(error);
        let rest = Rest { last, then: Then::Fail { error, flush } };
        Self { reason, rest: Some(Box::new(rest)) }
    }

    /// Creates a failure for a stream that the layer ends before its source, after the bytes
    /// `last`.
    pub(super) fn cut_short(reason: CloseReason, last: Bytes) -> Self {
        Self::failure(reason, last, Box::new(CutShort(reason)))
    }

    pub(super) const fn is_over(&self) -> bool {
        self.rest.is_none()
    }

    /// Returns the reason to report if the stream is dropped now, or `None` if the client has then
    /// disconnected.
    pub(super) fn reason(&self) -> Option<CloseReason> {
        let fails = |rest: &Rest| matches!(rest.then, Then::Fail { .. });
        self.rest.as_deref().is_none_or(fails).then_some(self.reason)
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(rest) = self.rest.as_deref_mut() else {
            return Poll::Ready(None);
        };
        if !rest.last.is_empty() {
            let last = mem::take(&mut rest.last);
            if let Then::End = rest.then {
                self.rest = None;
            }
            return Poll::Ready(Some(Ok(Frame::data(last))));
        }
        if let Then::Fail { flush, .. } = &mut rest.then {
            ready!(flush.poll_done(cx));
        }
        let then = mem::replace(&mut rest.then, Then::End);
        self.rest = None;
        Poll::Ready(match then {
            Then::End => None,
            Then::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
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
