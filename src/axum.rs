//! Feature `axum`: [`LastEventId`] as an extractor, [`StreamOptions`] as a part of a response.

use std::convert::Infallible;

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponseParts, ResponseParts},
};
use http::request::Parts;

use crate::{body::StreamOptions, connection::LastEventId};

/// Empty if the client has no last event id, the value that the [HTML standard][html] starts with.
///
/// The layer's reading goes first, which may have come from the query; without a layer the header is
/// read here.
///
/// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#the-eventsource-interface
impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(last_event_id(parts).unwrap_or_default())
    }
}

/// `None` if the client has no last event id.
impl<S: Sync> OptionalFromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(last_event_id(parts))
    }
}

fn last_event_id(parts: &Parts) -> Option<LastEventId> {
    parts
        .extensions
        .get::<LastEventId>()
        .cloned()
        .or_else(|| LastEventId::from_headers(&parts.headers))
}

/// Goes into the response's extensions, where the layer finds it.
///
/// ```
/// use axum::response::IntoResponse;
/// use futures_util::stream;
/// use tower_sse::{Event, StreamOptions};
///
/// async fn completion() -> impl IntoResponse {
///     let tokens = stream::iter(["Hel", "lo"].map(Event::from));
///     (StreamOptions::new().terminator(Event::from("[DONE]")), tower_sse::response(tokens))
/// }
/// ```
impl IntoResponseParts for StreamOptions {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        response.extensions_mut().insert(self);
        Ok(response)
    }
}
