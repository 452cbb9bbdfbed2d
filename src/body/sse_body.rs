use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::event_stream::EventStream;
use crate::{
    BoxError,
    connection::{CloseReason, DisconnectGuard},
};

pin_project! {
    /// The response body of the [layer](crate::SseLayer)'s service.
    ///
    /// For an event stream, the body sends the source's bytes with the lines that the layer writes
    /// between them. Any other body is passed through unchanged: its frames, trailers, errors,
    /// `size_hint` and `is_end_stream`.
    ///
    /// The body of an event stream has no size hint and reports its end only after its last byte,
    /// so that no server sends a `content-length`.
    pub struct SseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        PassThrough { #[pin] body: B },
        // Boxed, so that responses that are not event streams stay small.
        Stream { stream: Pin<Box<EventStream<B>>> },
        // A body that is not an event stream of this layer, and whose end fires a `Disconnect`.
        Tracked { tracked: Pin<Box<Tracked<B>>> },
        // The body of the answer to a HEAD request: no frames and no size hint.
        Unsent,
        // A body of at most one frame, without a size hint before its end.
        Whole { bytes: Option<Box<Bytes>> },
    }
}

pin_project! {
    struct Tracked<B> {
        #[pin]
        body: B,
        guard: DisconnectGuard,
    }
}

impl<B> SseBody<B> {
    pub(crate) const fn pass_through(body: B) -> Self {
        Self { kind: Kind::PassThrough { body } }
    }

    pub(crate) fn event_stream(stream: EventStream<B>) -> Self {
        Self { kind: Kind::Stream { stream: Box::pin(stream) } }
    }

    pub(crate) const fn unsent() -> Self {
        Self { kind: Kind::Unsent }
    }

    pub(crate) const fn empty() -> Self {
        Self { kind: Kind::Whole { bytes: None } }
    }

    /// Creates a body of these bytes.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let bytes = (!bytes.is_empty()).then(|| Box::new(bytes));
        Self { kind: Kind::Whole { bytes } }
    }
}

impl<B: Body> SseBody<B> {
    /// Passes `body` through. Its end fires the [`Disconnect`](crate::Disconnect) of `guard`.
    pub(crate) fn tracked(body: B, guard: DisconnectGuard) -> Self {
        let mut tracked = Tracked { body, guard };
        if is_complete(&tracked.body) {
            tracked.guard.set_reason(CloseReason::Ended);
        }
        Self { kind: Kind::Tracked { tracked: Box::pin(tracked) } }
    }
}

impl<B> Tracked<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let polled = ready!(this.guard.noting_panic(|| this.body.as_mut().poll_frame(cx)));
        let polled = polled.map(|frame| frame.map_err(Into::into));
        if let Some(Err(_)) = &polled {
            this.guard.set_reason(CloseReason::Failed);
        } else if polled.is_none() || is_complete(&*this.body) {
            this.guard.set_reason(CloseReason::Ended);
        }
        Poll::Ready(polled)
    }
}

/// Returns whether the body reports that it is over, so that servers do not poll it again.
fn is_complete<B: Body>(body: &B) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
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
            KindProj::PassThrough { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Stream { stream } => stream.as_mut().poll_frame(cx),
            KindProj::Tracked { tracked } => tracked.as_mut().poll_frame(cx),
            KindProj::Unsent => Poll::Ready(None),
            KindProj::Whole { bytes } => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(*bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::PassThrough { body } => body.is_end_stream(),
            Kind::Stream { stream } => stream.is_over(),
            Kind::Tracked { tracked } => tracked.body.is_end_stream(),
            Kind::Unsent => false,
            Kind::Whole { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::PassThrough { body } => body.size_hint(),
            Kind::Tracked { tracked } => tracked.body.size_hint(),
            Kind::Stream { stream } if !stream.is_over() => SizeHint::default(),
            Kind::Unsent | Kind::Whole { bytes: Some(_) } => SizeHint::default(),
            Kind::Stream { .. } | Kind::Whole { .. } => SizeHint::with_exact(0),
        }
    }
}

impl<B> fmt::Debug for SseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::PassThrough { .. } | Kind::Tracked { .. } => "foreign",
            Kind::Stream { .. } => "event stream",
            Kind::Unsent | Kind::Whole { .. } => "whole",
        };
        f.debug_struct("SseBody").field("kind", &format_args!("{kind}")).finish_non_exhaustive()
    }
}
