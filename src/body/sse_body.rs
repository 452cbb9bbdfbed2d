use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{Rules, event_stream::EventStream};
use crate::BoxError;

pin_project! {
    /// The body of every response that comes through the [layer](crate::SseLayer).
    ///
    /// Of an event stream it is the source's bytes with what the layer writes between them. Any other
    /// body is passed through: its frames, trailers, errors, `size_hint` and `is_end_stream`.
    ///
    /// The body of an event stream has no size hint, and is not at its end before its own last byte
    /// is out, so that no server makes a `content-length` of it.
    pub struct SseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Foreign { #[pin] body: B },
        // Out of line, for a response that is no event stream must not carry its size.
        Stream { stream: Pin<Box<EventStream<B>>> },
        // Nothing, and nothing is known of it: the answer to a HEAD request.
        Unsent,
        Empty,
    }
}

impl<B> SseBody<B> {
    pub(crate) const fn foreign(body: B) -> Self {
        Self { kind: Kind::Foreign { body } }
    }

    pub(crate) fn event_stream(source: B, rules: Arc<Rules>, encoded: bool) -> Self {
        Self { kind: Kind::Stream { stream: Box::pin(EventStream::new(source, rules, encoded)) } }
    }

    pub(crate) const fn unsent() -> Self {
        Self { kind: Kind::Unsent }
    }

    pub(crate) const fn empty() -> Self {
        Self { kind: Kind::Empty }
    }
}

impl<B> Body for SseBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Foreign { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Stream { stream } => stream.as_mut().poll_frame(cx),
            KindProj::Unsent | KindProj::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Foreign { body } => body.is_end_stream(),
            Kind::Stream { stream } => stream.is_over(),
            Kind::Unsent => false,
            Kind::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Foreign { body } => body.size_hint(),
            Kind::Stream { stream } if !stream.is_over() => SizeHint::default(),
            Kind::Unsent => SizeHint::default(),
            Kind::Stream { .. } | Kind::Empty => SizeHint::with_exact(0),
        }
    }
}

impl<B> fmt::Debug for SseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Foreign { .. } => "foreign",
            Kind::Stream { .. } => "event stream",
            Kind::Unsent | Kind::Empty => "empty",
        };
        f.debug_struct("SseBody").field("kind", &format_args!("{kind}")).finish_non_exhaustive()
    }
}
