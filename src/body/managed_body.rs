use std::{
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

/// A body that the layer has made or watches.
pub(super) enum ManagedBody<B> {
    // Boxed, so that responses that are not event streams stay small.
    Stream(Pin<Box<EventStream<B>>>),
    /// A body that is not an event stream of this layer, and whose end fires a `Disconnect`.
    Tracked(Pin<Box<Tracked<B>>>),
    /// The body of the answer to a HEAD request: no frames and no size hint.
    Unsent,
    /// A body of at most one frame, without a size hint before its end.
    Whole(Option<Box<Bytes>>),
}

pin_project! {
    pub(super) struct Tracked<B> {
        #[pin]
        body: B,
        guard: DisconnectGuard,
    }
}

impl<B: Body> ManagedBody<B> {
    /// Passes `body` through. Its end fires the [`Disconnect`](crate::Disconnect) of `guard`.
    pub(super) fn tracked(body: B, guard: DisconnectGuard) -> Self {
        let mut tracked = Tracked { body, guard };
        if is_complete(&tracked.body) {
            tracked.guard.reason = CloseReason::Ended;
        }
        Self::Tracked(Box::pin(tracked))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.is_over(),
            Self::Tracked(tracked) => tracked.body.is_end_stream(),
            Self::Unsent => false,
            Self::Whole(bytes) => bytes.is_none(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Tracked(tracked) => tracked.body.size_hint(),
            Self::Stream(stream) if !stream.is_over() => SizeHint::default(),
            Self::Unsent | Self::Whole(Some(_)) => SizeHint::default(),
            Self::Stream(_) | Self::Whole(None) => SizeHint::with_exact(0),
        }
    }
}

impl<B> ManagedBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self {
            Self::Stream(stream) => stream.as_mut().poll_frame(cx),
            Self::Tracked(tracked) => tracked.as_mut().poll_frame(cx),
            Self::Unsent => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(*bytes)))),
        }
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
        let polled = ready!(this.guard.reason.noting_panic(|| this.body.as_mut().poll_frame(cx)));
        let polled = polled.map(|frame| frame.map_err(Into::into));
        if let Some(Err(_)) = &polled {
            this.guard.reason = CloseReason::Failed;
        } else if polled.is_none() || is_complete(&*this.body) {
            this.guard.reason = CloseReason::Ended;
        }
        Poll::Ready(polled)
    }
}

/// Returns whether the body reports that it is over, so that servers do not poll it again.
fn is_complete<B: Body>(body: &B) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}
