use bytes::Bytes;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{event_stream::StreamState, forward::forward_to_kinds, managed_body::ManagedBody};
use crate::connection::DisconnectGuard;

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
        Managed { #[pin] body: ManagedBody<B> },
    }
}

impl<B> SseBody<B> {
    pub(crate) const fn pass_through(body: B) -> Self {
        Self { kind: Kind::PassThrough { body } }
    }

    const fn managed(body: ManagedBody<B>) -> Self {
        Self { kind: Kind::Managed { body } }
    }

    pub(crate) fn event_stream(source: B, state: StreamState) -> Self {
        Self::managed(ManagedBody::stream(source, state))
    }

    pub(crate) fn unsent() -> Self {
        Self::managed(ManagedBody::unsent())
    }

    pub(crate) fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    /// Creates a body of these bytes.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::managed(ManagedBody::whole(bytes))
    }
}

impl<B: Body> SseBody<B> {
    /// Passes `body` through. Its end fires the [`Disconnect`](crate::Disconnect) of `guard`.
    pub(crate) fn tracked(body: B, guard: DisconnectGuard) -> Self {
        Self::managed(ManagedBody::tracked(body, guard))
    }
}

forward_to_kinds!(SseBody: PassThrough, Managed);

opaque_debug!(SseBody<B>);
