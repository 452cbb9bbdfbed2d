use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    BoxError,
    body::{EventBody, SseBody},
    connection::DisconnectGuard,
    runs::Attachment,
};

/// The body of a response about a run: its events, a refusal, or nothing.
pub struct AnswerBody {
    kind: AnswerKind,
}

enum AnswerKind {
    Events(Box<EventBody<Attachment>>),
    /// `None` once the bytes are sent.
    Whole(Option<Bytes>),
}

impl AnswerBody {
    pub(crate) fn events(attachment: Attachment) -> Self {
        Self { kind: AnswerKind::Events(Box::new(EventBody::expecting_layer(attachment))) }
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { kind: AnswerKind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())) }
    }

    pub(crate) const fn empty() -> Self {
        Self { kind: AnswerKind::Whole(None) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            AnswerKind::Events(body) => Pin::new(&mut **body).poll_frame(cx),
            AnswerKind::Whole(bytes) => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            AnswerKind::Events(body) => body.is_end_stream(),
            AnswerKind::Whole(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            AnswerKind::Events(body) => body.size_hint(),
            AnswerKind::Whole(None) => SizeHint::with_exact(0),
            AnswerKind::Whole(Some(_)) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}

pin_project! {
    /// The response body of a [`RunLayer`](crate::runs::RunLayer)'s service: the events of a run, or the
    /// inner service's body unchanged.
    pub struct RunBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        PassThrough { #[pin] body: B },
        // A body whose end fires the `Disconnect` of its call.
        Tracked { #[pin] body: SseBody<B> },
        Answer { #[pin] body: AnswerBody },
    }
}

impl<B> RunBody<B> {
    pub(crate) const fn pass_through(body: B) -> Self {
        Self { kind: Kind::PassThrough { body } }
    }

    pub(crate) const fn answer(body: AnswerBody) -> Self {
        Self { kind: Kind::Answer { body } }
    }
}

impl<B: Body> RunBody<B> {
    pub(crate) fn tracked(body: B, guard: DisconnectGuard) -> Self {
        Self { kind: Kind::Tracked { body: SseBody::tracked(body, guard) } }
    }
}

impl<B> Body for RunBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::PassThrough { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Tracked { body } => body.poll_frame(cx).map_err(Into::into),
            KindProj::Answer { body } => body.poll_frame(cx),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::PassThrough { body } => body.is_end_stream(),
            Kind::Tracked { body } => body.is_end_stream(),
            Kind::Answer { body } => body.is_end_stream(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::PassThrough { body } => body.size_hint(),
            Kind::Tracked { body } => body.size_hint(),
            Kind::Answer { body } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for RunBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::PassThrough { .. } | Kind::Tracked { .. } => "passed through",
            Kind::Answer { .. } => "answer",
        };
        f.debug_struct("RunBody").field("kind", &kind).finish_non_exhaustive()
    }
}
