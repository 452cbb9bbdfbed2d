use futures_core::Stream;
use http::Response;

use super::{MapMessages, Subscription};
use crate::{
    body::EventBody,
    event::{Encoded, Event, Message},
    layer::{self, NothingMore},
};

/// The answer to a request.
impl Subscription {
    /// Returns the response to a request: the stream, or the news that it has ended.
    ///
    /// If the subscription [has ended](Self::has_ended), the [layer](crate::SseLayer) answers an
    /// `EventSource` with `204`, which keeps it from reconnecting ([HTML][html]). Other clients receive
    /// an empty stream. [`crate::response`] returns an empty stream for all of them.
    ///
    /// ```
    /// use axum::{extract::State, response::IntoResponse};
    /// use tower_sse::{LastEventId, hub::Hub};
    ///
    /// async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
    ///     hub.subscribe_to("news").resume(last).response()
    /// }
    /// # drop(events);
    /// ```
    ///
    /// With feature `axum`, a handler can return the subscription itself.
    ///
    /// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#server-sent-events-intro
    #[must_use]
    pub fn response(self) -> Response<EventBody<Self>> {
        let has_ended = self.has_ended();
        respond(self, has_ended)
    }
}

impl<F> MapMessages<F>
where
    F: FnMut(Message) -> Option<Event>,
{
    /// Returns the response to a request, as [`Subscription::response`] does.
    #[must_use]
    pub fn response(self) -> Response<EventBody<Self>> {
        let has_ended = self.has_ended();
        respond(self, has_ended)
    }
}

fn respond<S>(stream: S, has_ended: bool) -> Response<EventBody<S>>
where
    S: Stream<Item = Encoded>,
{
    let mut response = layer::response(stream);
    if has_ended {
        response.extensions_mut().insert(NothingMore);
    }
    response
}
