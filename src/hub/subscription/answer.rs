use http::Response;

use super::Subscription;
use crate::{body::EventBody, layer, signals::NothingMore};

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
    /// # _ = events;
    /// ```
    ///
    /// If all topics keep only their newest value ([`Retention::latest`](crate::hub::Retention::latest)),
    /// the body makes a frame only once the server has written the one before, and after a minute
    /// anyway. A client that stalls therefore does not receive old values afterwards, besides those in
    /// the buffers of its connection.
    ///
    /// With feature `axum`, a handler can return the subscription itself.
    ///
    /// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#server-sent-events-intro
    #[must_use]
    pub fn response(self) -> Response<EventBody<Self>> {
        let (has_ended, is_latest) = (self.has_ended(), self.is_latest());
        let mut response = layer::response(self);
        if has_ended {
            response.extensions_mut().insert(NothingMore);
        }
        if is_latest { response.map(EventBody::with_newest_only) } else { response }
    }
}
