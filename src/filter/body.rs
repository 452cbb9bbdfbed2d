use std::pin::Pin;

use bytes::Bytes;
use pin_project_lite::pin_project;

use super::{EventFilter, event_filter::FilterOptions, pipe::Filtered};
use crate::{body::forward_to_kinds, layer::SseBody};

pin_project! {
    /// The response body of a [`FilterLayer`](super::FilterLayer). To filter an event stream
    /// without the layer, wrap the response body yourself. For example, to filter an upstream's
    /// response:
    ///
    /// ```
    /// use http::Response;
    /// use tower_sse::filter::{self, FilterBody, Verdict};
    ///
    /// // Any `http_body::Body`; a `String` is the simplest one.
    /// let upstream = Response::new("data: one\n\ndata: two\n\n".to_owned());
    /// let filter = filter::from_fn(|event| {
    ///     println!("{}", event.data());
    ///     Verdict::Pass
    /// });
    /// let response = upstream.map(|body| FilterBody::new(body, filter));
    /// ```
    ///
    /// Wrap only bodies without a content coding. If the filter changes the stream, remove the
    /// [headers](super::FilterLayer#headers) that the layer would remove. Trailers are dropped if
    /// the filter ends the stream.
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
    /// Passes `body` through `filter`. The filtered body fails if an event is larger than 1 MiB.
    pub fn new(body: B, filter: F) -> Self {
        Self::filtered(Filtered::new(filter, FilterOptions::default(), Some(body)))
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
