use std::pin::Pin;

use bytes::Bytes;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{SseBody, forward_to_kinds};
use crate::BoxError;

pin_project! {
    /// The body of a response that this crate makes by itself, such as the answer of a
    /// [`Refusal`](crate::Refusal::answer) or a [run](crate::runs::Runs::answer). A layer that makes
    /// some of its responses by itself, such as [`RunLayer`](crate::runs::RunLayer), passes the
    /// service's body `B` through without a change.
    // `String` is a body that needs no other crate. No value of it ever occurs.
    pub struct AnswerBody<B = String> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        PassThrough { #[pin] body: SseBody<B> },
        Own { #[pin] body: OwnBody },
    }
}

/// The body of any answer that this crate makes itself.
pub(crate) type OwnBody = SseBody<Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send + Sync>>>;

impl<B> AnswerBody<B> {
    pub(crate) const fn pass_through(body: B) -> Self {
        Self::passing(SseBody::pass_through(body))
    }

    pub(crate) const fn passing(body: SseBody<B>) -> Self {
        Self { kind: Kind::PassThrough { body } }
    }

    pub(crate) const fn own(body: OwnBody) -> Self {
        Self { kind: Kind::Own { body } }
    }
}

forward_to_kinds!(AnswerBody<B>: PassThrough, Own);

opaque_debug!(AnswerBody<B>);
