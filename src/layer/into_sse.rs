use bytes::Bytes;
use futures_core::Stream;
use http::{Response, header::CONTENT_TYPE};
use http_body::Body;

use crate::headers::{TEXT_EVENT_STREAM, has_body};
use crate::{BoxError, body::EventBody, event::Encode};

pub mod marker {
    //! Markers for the [kinds of services](crate::SseLayer#one-layer-one-kind-of-service) inside an
    //! [`SseLayer`](crate::SseLayer).

    /// A service that returns an [`http::Response`] with a body of bytes. This kind is the default.
    #[derive(Debug)]
    pub enum Http {}

    /// A service that returns a stream of events.
    #[derive(Debug)]
    pub enum Events {}

    /// A service that returns an [`http::Response`] whose body is a stream of events.
    #[derive(Debug)]
    pub enum EventResponse {}
}

/// A type that a service inside the layer may return.
///
/// The trait is sealed. The [marker] `M` distinguishes its implementations:
///
/// - [`marker::Http`]: a [`Response`] with any [`Body`] of [`Bytes`] is an event stream if its
///   `content-type` is `text/event-stream` and its status allows a body. Otherwise it passes
///   through.
/// - [`marker::Events`]: a [`Stream`] of [events](Encode) becomes an event stream with status 200.
/// - [`marker::EventResponse`]: a [`Response`] whose body is such a stream becomes an event stream
///   with the same status. If the status allows no body, the response has none.
#[diagnostic::on_unimplemented(
    message = "`SseLayer` can't make an event stream of `{Self}`",
    label = "a service inside `SseLayer` can't answer with this",
    note = "answer with an `http::Response` whose body has `Bytes` as its data, or with a \
            `Stream` of events, or with an `http::Response` of such a stream",
    note = "a hub's subscription makes its own response: \
            `hub.subscribe(topics).resume(last_event_id).response()`",
    note = "the items of the stream must be `tower_sse::Event`, `Encoded`, `Json<T>`, or a `Result` \
            of one of them",
    note = "a struct field of type `SseLayer` is an `SseLayer<marker::Http>`; for a service that \
            answers with a stream it must be `SseLayer<marker::Events>`"
)]
pub trait IntoSse<M>: sealed::Sealed<M> {
    /// Whether every value of the type becomes an event stream with status 200.
    const STREAMS: bool;

    /// The body, before the layer wraps it.
    type Body: Body<Data = Bytes, Error: Into<BoxError>>;

    /// Turns the value into a response.
    fn into_sse(self) -> Response<Self::Body>;
}

mod sealed {
    use super::{Body, Bytes, Encode, Response, Stream};

    pub trait Sealed<M> {}

    impl<B: Body<Data = Bytes>> Sealed<super::marker::Http> for Response<B> {}
    impl<S: Stream<Item: Encode>> Sealed<super::marker::Events> for S {}
    impl<S: Stream<Item: Encode>> Sealed<super::marker::EventResponse> for Response<S> {}
}

/// Any [`Stream`]: the bound for your own functions that call [`response`](crate::response).
///
/// All streams implement this trait, and nothing else can. For any other type, the compiler says
/// how to make a stream.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stream of events",
    label = "not a stream",
    note = "a hub's subscription makes its own response: \
            `hub.subscribe(topics).resume(last_event_id).response()`",
    note = "a collection or an iterator becomes a stream by `futures_util::stream::iter`, and the \
            receiver of a channel by a wrapper of tokio-stream"
)]
pub trait AnyStream: Stream<Item = Self::Event> {
    /// The item of the stream.
    type Event;
}

// Without this attribute, the compiler would report that `Stream` is not implemented.
#[diagnostic::do_not_recommend]
impl<S: Stream> AnyStream for S {
    type Event = S::Item;
}

impl<B> IntoSse<marker::Http> for Response<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    const STREAMS: bool = false;
    type Body = B;

    #[inline]
    fn into_sse(self) -> Self {
        self
    }
}

impl<S: Stream<Item: Encode>> IntoSse<marker::Events> for S {
    const STREAMS: bool = true;
    type Body = EventBody<S>;

    fn into_sse(self) -> Response<EventBody<S>> {
        response(self)
    }
}

impl<S: Stream<Item: Encode>> IntoSse<marker::EventResponse> for Response<S> {
    const STREAMS: bool = false;
    type Body = EventBody<S>;

    fn into_sse(self) -> Response<EventBody<S>> {
        if !has_body(self.status()) {
            return self.map(|_| EventBody::default());
        }
        let mut response = self.map(EventBody::expecting_layer);
        response.headers_mut().insert(CONTENT_TYPE, TEXT_EVENT_STREAM);
        response
    }
}

/// Creates a response whose body sends the events of `stream`.
///
/// A handler can return it if its framework accepts an [`http::Response`], as axum does:
///
/// ```
/// use axum::{Router, response::IntoResponse, routing::get};
/// use futures_util::stream;
/// use tower_sse::{Event, SseLayer};
///
/// async fn events() -> impl IntoResponse {
///     tower_sse::response(stream::iter(["one", "two"].map(Event::from)))
/// }
///
/// let app: Router = Router::new().route("/events", get(events)).layer(SseLayer::new());
/// ```
///
/// The response has status 200 and the content type `text/event-stream`.
///
/// For a hub's subscription, call [its own `response`](crate::hub::Subscription::response). Only
/// that response can stop an `EventSource` with `204`, or begin with a
/// [`start`](crate::hub::Subscribe::start_event) event.
///
/// # Without a layer
///
/// If the layer is missing, or was added before the route, the server still sends the events, but
/// without heartbeats or the headers that stop proxies from buffering.
/// [`StreamOptions`](crate::StreamOptions) have no effect. The crate logs a warning once per
/// process (feature `tracing`). To serve events without a layer on purpose, use [`EventBody::new`].
#[must_use]
pub fn response<S>(stream: S) -> Response<EventBody<S>>
where
    S: AnyStream<Event: Encode>,
{
    Response::new(stream).into_sse()
}
