use std::task::{Context, Poll, ready};
use std::{mem, pin::Pin};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Hold;
use super::event_stream::EventStream;
use super::stream_state::StreamState;
use crate::BoxError;
use crate::connection::DisconnectGuard;

pin_project! {
    /// The body of the responses that the [layer](crate::SseLayer) returns.
    ///
    /// For an event stream, it sends the source's bytes and the layer's own lines. Until the last
    /// byte, it has no size hint and `is_end_stream` returns `false`, so servers send no
    /// `content-length`. Any other body passes through unchanged.
    ///
    /// It's also the body of responses that this crate makes by itself, such as the answer of a
    /// [`Refusal`](crate::Refusal::answer) or a [run](crate::runs::Runs::answer). A layer that
    /// makes only some responses by itself, such as [`RunLayer`](crate::runs::RunLayer), passes the
    /// bodies of the service's other responses, of type `B`, through.
    // `String` is the default, because it implements `Body` without another crate.
    pub struct SseBody<B = String> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        PassThrough { #[pin] body: B },
        Managed { #[pin] body: ManagedBody<B> },
        Boxed { #[pin] body: BoxedBody },
    }
}

type BoxedBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send + Sync>>;

impl<B> SseBody<B> {
    pub(crate) const fn pass_through(body: B) -> Self {
        Self { kind: Kind::PassThrough { body } }
    }

    fn managed(source: Option<B>, role: Role) -> Self {
        Self { kind: Kind::Managed { body: ManagedBody { source, role } } }
    }

    pub(crate) fn event_stream(source: B, state: StreamState) -> Self {
        Self::managed(Some(source), Role::Stream(Box::pin(state)))
    }

    /// Passes `body` through. Dropping the returned body fires the
    /// [`Disconnect`](crate::Disconnect) of `guard`.
    pub(crate) fn tracked(body: B, guard: DisconnectGuard) -> Self {
        Self::managed(Some(body), Role::Tracked { _guard: Box::new(guard) })
    }

    pub(crate) fn unsent() -> Self {
        Self::managed(None, Role::Unsent)
    }

    pub(crate) fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    /// Creates the body of an answer without events, whose end is held after `bytes`.
    pub(crate) fn held(bytes: Bytes, hold: Option<Hold>) -> Self {
        Self::managed(None, Role::Whole(Box::new((bytes, hold))))
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::held(bytes, None)
    }
}

impl SseBody {
    pub(crate) fn boxed(body: BoxedBody) -> Self {
        Self { kind: Kind::Boxed { body } }
    }

    /// Converts this body for a service whose own bodies are of type `B`.
    pub(crate) fn of_service<B>(self) -> SseBody<B> {
        let body = match self.kind {
            Kind::Boxed { body } => body,
            kind => Box::pin(Self { kind }),
        };
        SseBody { kind: Kind::Boxed { body } }
    }
}

forward_to_kinds!(SseBody<B>: PassThrough, Managed, Boxed);

opaque_debug!(SseBody<B>);

pin_project! {
    struct ManagedBody<B> {
        // Outside of the state's box, so that the processor can load source and state at once.
        #[pin]
        source: Option<B>,
        role: Role,
    }

    impl<B> PinnedDrop for ManagedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Role::Stream(state) = this.role {
                EventStream { source: this.source, state: state.as_mut() }.abandon();
            }
        }
    }
}

/// The role of a managed body. The data is boxed, so that responses other than streams stay small.
enum Role {
    /// An event stream of this layer.
    Stream(Pin<Box<StreamState>>),
    /// Another body, whose drop fires a `Disconnect`.
    Tracked { _guard: Box<DisconnectGuard> },
    /// The body of the answer to a HEAD request: no frames and no size hint.
    Unsent,
    /// A body of at most one frame, without a size hint before its end.
    Whole(Box<(Bytes, Option<Hold>)>),
}

impl<B: Body> ManagedBody<B> {
    fn is_end_stream(&self) -> bool {
        match &self.role {
            Role::Stream(state) => state.is_over(),
            Role::Tracked { .. } => self.source.as_ref().is_none_or(Body::is_end_stream),
            Role::Unsent => false,
            Role::Whole(whole) => whole.0.is_empty() && whole.1.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.role, &self.source) {
            (Role::Tracked { .. }, Some(body)) => body.size_hint(),
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}

impl<B> ManagedBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        match this.role {
            Role::Stream(state) => {
                EventStream { source: this.source, state: state.as_mut() }.poll_frame(cx)
            }
            Role::Tracked { .. } => match this.source.as_pin_mut() {
                Some(body) => body.poll_frame(cx).map_err(Into::into),
                None => Poll::Ready(None),
            },
            Role::Unsent => Poll::Ready(None),
            Role::Whole(whole) => {
                let (bytes, hold) = (mem::take(&mut whole.0), &mut whole.1);
                if let Some(held) = hold.as_mut().filter(|_| bytes.is_empty()) {
                    ready!(held.poll(cx));
                    *hold = None;
                }
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
        }
    }
}

/// Implements `Body` for a type whose field `kind` has a field `body` in each variant, and
/// `Default` with the type's `pass_through`. The type's last parameter is the body `B`.
macro_rules! forward_to_kinds {
    ($type:ident<B $(, $filter:ident: $bound:ident)?>: $($variant:ident),+) => {
        impl<$($filter: $bound,)? B> http_body::Body for $type<$($filter,)? B>
        where
            B: http_body::Body<Data = bytes::Bytes, Error: Into<$crate::BoxError>>,
        {
            type Data = bytes::Bytes;
            type Error = $crate::BoxError;

            #[inline]
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, $crate::BoxError>>>
            {
                match self.project().kind.project() {
                    $(KindProj::$variant { body } => body.poll_frame(cx).map_err(Into::into),)+
                }
            }

            #[inline]
            fn is_end_stream(&self) -> bool {
                match &self.kind {
                    $(Kind::$variant { body } => body.is_end_stream(),)+
                }
            }

            #[inline]
            fn size_hint(&self) -> http_body::SizeHint {
                match &self.kind {
                    $(Kind::$variant { body } => body.size_hint(),)+
                }
            }
        }

        /// Passes the default body of type `B` through. Middleware that answers by itself, such as
        /// tower-http's `CorsLayer`, sends this body.
        impl<$($filter: $bound,)? B: Default> Default for $type<$($filter,)? B> {
            fn default() -> Self {
                Self::pass_through(B::default())
            }
        }
    };
}

pub(crate) use forward_to_kinds;
