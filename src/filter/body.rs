use std::pin::Pin;

use bytes::Bytes;
use pin_project_lite::pin_project;

use super::{EventFilter, FilterPipe, filtered::Filtered, guard::FilterGuard};
use crate::{SseBody, body::forward_to_kinds};

pin_project! {
    /// The body of an event stream that passes through a filter.
    ///
    /// A [`FilterLayer`](super::FilterLayer) makes these bodies. Without the layer, wrap a body of
    /// an event stream, such as that of another server's response:
    ///
    /// ```
    /// use http::Response;
    /// use http_body_util::BodyExt;
    /// use tower_sse::filter::{self, FilterBody};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_sse::BoxError> {
    /// // Any `http_body::Body`; a `String` is the simplest one.
    /// let upstream = Response::new("data: one\n\ndata: two\n\n".to_owned());
    /// let filter = filter::inspect(|event| println!("{}", event.data()));
    /// let response = upstream.map(|body| FilterBody::new(body, filter));
    /// assert_eq!(response.into_body().collect().await?.to_bytes(), "data: one\n\ndata: two\n\n");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The caller must know that the body is an event stream without a content coding. The headers
    /// `content-length` and `etag` of a stream that changes must be removed.
    ///
    /// One frame of the source becomes at most one frame. An event is never delayed, and a frame that
    /// passes as a whole is not copied. Trailers follow the last bytes; they are dropped if the filter
    /// ends the stream. Frames over 64 KiB are filtered in parts.
    pub struct FilterBody<F: EventFilter, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<F: EventFilter, B> {
        Filtered { #[pin] body: Pin<Box<Filtered<F, B>>> },
        Other { #[pin] body: SseBody<B> },
    }
}

impl<F: EventFilter, B> FilterBody<F, B> {
    /// Passes `body` through `filter`, with events of up to 1 MiB.
    pub fn new(body: B, filter: F) -> Self {
        Self::filtered(Filtered::new(
            FilterPipe::with_guard(FilterGuard::new(filter, true)),
            Some(body),
        ))
    }

    pub(super) const fn filtered(body: Pin<Box<Filtered<F, B>>>) -> Self {
        Self { kind: Kind::Filtered { body } }
    }

    pub(super) const fn pass_through(body: B) -> Self {
        Self { kind: Kind::Other { body: SseBody::pass_through(body) } }
    }

    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { kind: Kind::Other { body: SseBody::whole(bytes) } }
    }
}

forward_to_kinds!(FilterBody<B, F: EventFilter>: Filtered, Other);

opaque_debug!(FilterBody<F: EventFilter, B>);
