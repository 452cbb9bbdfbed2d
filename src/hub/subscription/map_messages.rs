use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{Subscription, item::Item};
use crate::{
    event::{Decoder, Encoded, Event, EventId, Message, MessageId},
    signals::is_heartbeat_due,
};

/// A [`Subscription`] whose events are changed or dropped for one client.
///
/// [`Subscription::map_messages`] returns it.
pub struct MapMessages<F> {
    subscription: Subscription,
    map: F,
    decoder: Decoder,
    /// What is left of the subscription's last item.
    rest: Bytes,
    /// The id of the last event, if it was dropped: the client has an older one.
    dropped: Option<MessageId>,
}

impl Subscription {
    /// Changes or drops each event for one client, such as for its permissions or its language.
    ///
    /// ```
    /// use axum::response::IntoResponse;
    /// use tower_sse::{Event, LastEventId, hub::Hub};
    ///
    /// async fn orders(hub: Hub, user: String, last: Option<LastEventId>) -> impl IntoResponse {
    ///     let orders = hub.subscribe_to("orders").resume(last);
    ///     orders
    ///         .map_messages(move |order| order.data.starts_with(&user).then(|| Event::from(order)))
    ///         .response()
    /// }
    /// # _ = orders;
    /// ```
    ///
    /// - Each event keeps its id, whatever `map` returns. Its comments are not passed on.
    /// - `map` does not see [gaps](super::GapPolicy) and the [greeting](super::Subscribe::greeting).
    ///   They are sent unchanged.
    /// - The client also learns the id of dropped events, so that it gets no gap for them when it
    ///   reconnects. It is sent alone, as an `id` field, with the next [heartbeat](crate::Heartbeat) and
    ///   at the end of the stream. By the [HTML standard][html], this is no event.
    /// - [`Message::last_event_id`] is the id of the event.
    ///
    /// # Panics
    ///
    /// If `map` panics, the stream ends as after a panic of any other source.
    ///
    /// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    pub fn map_messages<F>(self, map: F) -> MapMessages<F>
    where
        F: FnMut(Message) -> Option<Event>,
    {
        // The hub has no limit for the size of an event.
        let decoder = Decoder::new().max_event_size(usize::MAX);
        MapMessages { subscription: self, map, decoder, rest: Bytes::new(), dropped: None }
    }
}

impl<F> MapMessages<F> {
    /// Returns whether the stream has nothing to send, as [`Subscription::has_ended`] does.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.subscription.has_ended()
    }

    pub(super) const fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Returns what tells the client the id of the events that were dropped.
    fn take_dropped(&mut self) -> Option<Encoded> {
        let id = self.dropped.take()?;
        Some(Encoded::of(format!("id: {id}\n\n").into()))
    }
}

impl<F> MapMessages<F>
where
    F: FnMut(Message) -> Option<Event>,
{
    /// Returns the next event of the current item that `map` does not drop.
    fn next_mapped(&mut self) -> Option<Encoded> {
        while let Ok(Some(message)) = self.decoder.decode(&mut self.rest) {
            let id = message.last_event_id.clone();
            let Some(event) = (self.map)(message) else {
                self.dropped = Some(id);
                continue;
            };
            self.dropped = None;
            // The hub has assigned it.
            return Some(event.id(EventId::from_one_line(String::from(&*id))).into());
        }
        None
    }
}

impl<F> Stream for MapMessages<F>
where
    F: FnMut(Message) -> Option<Event>,
{
    type Item = Encoded;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Encoded>> {
        let this = self.get_mut();
        loop {
            if let Some(event) = this.next_mapped() {
                return Poll::Ready(Some(event));
            }
            match this.subscription.poll_item(cx) {
                Poll::Ready(Some(Item::Events(events))) => this.rest = events.into(),
                Poll::Ready(Some(Item::Notice(notice))) => {
                    this.dropped = None;
                    return Poll::Ready(Some(notice));
                }
                Poll::Ready(None) => return Poll::Ready(this.take_dropped()),
                Poll::Pending if this.dropped.is_some() && is_heartbeat_due() => {
                    return Poll::Ready(this.take_dropped());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

// The function is called, never pinned.
impl<F> Unpin for MapMessages<F> {}

impl<F> fmt::Debug for MapMessages<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapMessages")
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}
