use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use tokio::task::coop;

use crate::{
    event::Encoded,
    runs::{RunError, record::Reader},
};

/// A stream of a run's events for one client. Each item contains one or more events, with their
/// ids.
///
/// How it ends depends on the run's outcome:
///
/// - After [`Completed`](crate::runs::Outcome::Completed) it ends.
/// - After [`Cancelled`](crate::runs::Outcome::Cancelled) it fails with an error after which
///   [`SseLayer`](crate::SseLayer) ends the body cleanly, without its terminator.
/// - After any other outcome it fails.
///
/// It also fails if the client's next event was evicted.
///
/// While it exists, the client counts as attached: the source may wait for it, and the run is not
/// abandoned. Dropping it detaches the client but does not stop the run.
#[must_use = "streams do nothing unless polled"]
pub struct Attachment {
    /// `None` once the stream has ended.
    reader: Option<Reader>,
}

impl Attachment {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader: Some(reader) }
    }
}

impl Stream for Attachment {
    type Item = Result<Encoded, RunError>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Encoded, RunError>>> {
        let Some(reader) = &mut self.reader else {
            return Poll::Ready(None);
        };
        let unit = ready!(coop::poll_proceed(cx));
        let read = ready!(reader.poll_read(cx));
        unit.made_progress();
        if !matches!(read, Some(Ok(_))) {
            self.reader = None;
        }
        Poll::Ready(read.map(|read| read.map(Encoded::of)))
    }
}

opaque_debug!(Attachment);
