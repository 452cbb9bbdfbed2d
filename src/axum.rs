//! Implementations of axum's traits: the extractors [`LastEventId`], [`Disconnect`] and
//! [`Subjects`], the response part [`StreamOptions`], and subscriptions as responses.

use std::convert::Infallible;

#[cfg(feature = "hub")]
use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use http::{StatusCode, request::Parts};

use crate::connection::{Disconnect, LastEventId};
#[cfg(feature = "hub")]
use crate::hub::Subscription;
use crate::{options::StreamOptions, streams::Subjects};

/// Extracts the last event id, which is empty if the client sent none. It comes from the header or,
/// if a layer sets [`last_event_id_query`](crate::SseLayer::last_event_id_query), from the query.
impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions, &parts.headers).unwrap_or_default())
    }
}

/// Extracts the last event id, or `None` if the client sent none.
impl<S: Sync> OptionalFromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(&parts.extensions, &parts.headers))
    }
}

/// Extracts the signal that fires when the response is over. The extractor needs a layer with
/// [`SseLayer::track_disconnects`](crate::SseLayer::track_disconnects) around the handler, or a
/// [`RunLayer`](crate::runs::RunLayer) if the request has a key. Otherwise, the request is rejected
/// with a `500` whose text names the missing option.
///
/// ```
/// use axum::response::IntoResponse;
/// use tokio::sync::mpsc;
/// use tokio_stream::wrappers::ReceiverStream;
/// use tower_sse::{Disconnect, Event};
///
/// async fn completion(disconnect: Disconnect, prompt: String) -> impl IntoResponse {
///     let (tokens, received) = mpsc::channel(16);
///     tokio::spawn(disconnect.token().run_until_cancelled_owned(async move {
///         while tokens.send(Event::from(prompt.clone())).await.is_ok() {}
///     }));
///     tower_sse::response(ReceiverStream::new(received))
/// }
/// ```
impl<S: Sync> FromRequestParts<S> for Disconnect {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or((
            StatusCode::INTERNAL_SERVER_ERROR,
            "no `Disconnect` in the request: set `SseLayer::track_disconnects(true)` on a layer \
             around this handler",
        ))
    }
}

/// Extracts the subjects of the request. The extractor needs a layer with
/// [`SseLayer::streams`](crate::SseLayer::streams) around the handler, or middleware that calls
/// [`Streams::subjects_of`](crate::streams::Streams::subjects_of). Otherwise, the request is
/// rejected with a `500` whose text names the missing option.
impl<S: Sync> FromRequestParts<S> for Subjects {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or((
            StatusCode::INTERNAL_SERVER_ERROR,
            "no `Subjects` in the request: set `SseLayer::streams` on a layer around this handler",
        ))
    }
}

/// Adds these options to those of the response; see [`merge_into`](StreamOptions::merge_into).
impl IntoResponseParts for StreamOptions {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        self.merge_into_extensions(response.extensions_mut());
        Ok(response)
    }
}

/// Turns the subscription into its [`response`](Subscription::response).
#[cfg(feature = "hub")]
impl IntoResponse for Subscription {
    fn into_response(self) -> Response {
        self.response().map(Body::new)
    }
}
