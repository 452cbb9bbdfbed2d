use bytes::Bytes;
use http::Response;

use crate::{BoxError, Encoded};

/// What becomes of an event, or of the end of the source.
///
/// An [`Encoded`] can be several events: collect it from an iterator. To send events after one,
/// replace it by a copy of itself and these events, as with
/// `[event.to_encoded(), usage].into_iter().collect()`.
#[derive(Debug)]
#[non_exhaustive]
#[must_use]
pub enum Verdict {
    /// The event passes unchanged, byte for byte.
    Pass,
    /// The event is not sent.
    Drop,
    /// These events are sent in its place.
    Replace(Encoded),
    /// These events are sent, and then the event unchanged.
    Insert(Encoded),
    /// These events, or none, are sent in its place. The stream then ends cleanly, and the source is
    /// dropped.
    End(Encoded),
    /// The body fails with this error. Neither the event nor what follows it is sent.
    ///
    /// When a body fails, a server drops what it has not written: hyper drops even the head and the
    /// events before the failure if they came in one frame. An [`SseLayer`](crate::SseLayer) outside
    /// of the filter lets the server write them first.
    Fail(BoxError),
    /// The client gets this response in place of the stream, if its
    /// [head is held](super::FilterLayer::hold_head). Otherwise, the body fails.
    // Boxed, because it is rare and large.
    Reject(Box<Response<Bytes>>),
}

impl Verdict {
    /// Returns [`Replace`](Self::Replace) with these events.
    pub fn replace(events: impl Into<Encoded>) -> Self {
        Self::Replace(events.into())
    }

    /// Returns [`Insert`](Self::Insert) with these events.
    pub fn insert(events: impl Into<Encoded>) -> Self {
        Self::Insert(events.into())
    }

    /// Returns [`End`](Self::End) with these events.
    pub fn end_with(events: impl Into<Encoded>) -> Self {
        Self::End(events.into())
    }

    /// Returns [`Fail`](Self::Fail) with this error.
    pub fn fail(error: impl Into<BoxError>) -> Self {
        Self::Fail(error.into())
    }

    /// Returns [`Reject`](Self::Reject) with this response.
    pub fn reject(response: Response<impl Into<Bytes>>) -> Self {
        Self::Reject(Box::new(response.map(Into::into)))
    }
}
