use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    BoxError,
    body::{EventBody, SseBody, forward_to_kinds},
    connection::DisconnectGuard,
    runs::Attachment,
};

/// The body of a response about a run: its events, a refusal, or nothing.
pub struct AnswerBody {
    body: SseBody<Box<EventBody<Attachment>>>,
}

impl AnswerBody {
    pub(crate) fn events(attachment: Attachment) -> Self {
        let events = Box::new(EventBody::expecting_layer(attachment));
        Self { body: SseBody::pass_through(events) }
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { body: SseBody::whole(bytes) }
    }

    pub(crate) fn empty() -> Self {
        Self { body: SseBody::empty() }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

opaque_debug!(AnswerBody);

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
        PassThrough { #[pin] body: SseBody<B> },
        Answer { #[pin] body: AnswerBody },
    }
}

impl<B> RunBody<B> {
    pub(crate) const fn pass_through(body: B) -> Self {
        Self { kind: Kind::PassThrough { body: SseBody::pass_through(body) } }
    }

    pub(crate) const fn answer(body: AnswerBody) -> Self {
        Self { kind: Kind::Answer { body } }
    }
}

impl<B: Body> RunBody<B> {
    /// Passes `body` through. Its end fires the [`Disconnect`](crate::Disconnect) of its call.
    pub(crate) fn tracked(body: B, guard: DisconnectGuard) -> Self {
        Self { kind: Kind::PassThrough { body: SseBody::tracked(body, guard) } }
    }
}

forward_to_kinds!(RunBody: PassThrough, Answer);

opaque_debug!(RunBody<B>);
