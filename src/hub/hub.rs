use std::{fmt, sync::Arc};

use super::{
    Acknowledged, Broker, HubBuilder, HubStats, PublishError, Receipt, Subscribe, state::HubState,
};
use crate::{
    BoxError,
    event::{Event, EventId},
};

/// A set of topics with publishers and subscribers. Clones are cheap and share the topics.
///
/// See the [module](super) for an overview. Subscriptions end when the hub is
/// [closed](Self::close), but not when its last clone is dropped.
#[derive(Clone)]
#[doc(alias = "broadcast")]
#[doc(alias = "channel")]
pub struct Hub {
    shared: Arc<HubState>,
}

impl Hub {
    /// Returns a hub with the default limits. Each topic keeps at most 1,024 events, 1 MiB of
    /// events, and 5 minutes of events. All topics together use at most 64 MiB of memory.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for a hub with other limits.
    pub const fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    pub(crate) const fn of(shared: Arc<HubState>) -> Self {
        Self { shared }
    }

    pub(crate) const fn shared(&self) -> &Arc<HubState> {
        &self.shared
    }

    /// Connects to a broker and returns a hub. An event published in one process reaches the
    /// subscribers in all processes that are connected to the same broker.
    ///
    /// The limits are those of [`new`](Self::new); use [`builder`](Self::builder) for others. The
    /// future is ready once the hub has loaded the events of the last 5 minutes from the broker.
    ///
    /// # Errors
    ///
    /// Returns the broker's error if connecting or loading the history fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready closes the connection.
    pub async fn connect<B: Broker>(broker: B) -> Result<Self, B::Error> {
        Self::builder().connect(broker).await
    }

    /// Publishes an event to all subscribers of a topic.
    ///
    /// While the event is kept, clients that reconnect receive it too. The publisher never waits
    /// for a slow client.
    ///
    /// - Without a broker, the future is ready at its first poll.
    /// - With a [broker](Self::connect), it waits for the broker's acknowledgement. All processes,
    ///   including this one, may receive the event later.
    /// - If the topic may have [ended](Self::end) in another process, it also waits until this process
    ///   has received the event. That wait ends if this process receives nothing for 250 ms, because it
    ///   is cut off, or at the broker's deadline.
    ///
    /// # Errors
    ///
    /// Returns an error if the value does not convert into an event, if the event has no data or
    /// has an id, if the topic has [ended](Self::end), or if the hub is [closed](Self::close). With a
    /// broker, [`PublishError`]
    /// distinguishes events that were certainly not published from those that may have been.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before its first poll, nothing is published. If it is dropped
    /// later, a broker may still publish the event.
    pub async fn publish<E>(
        &self,
        topic: impl AsRef<str>,
        event: E,
    ) -> Result<Receipt, PublishError>
    where
        E: TryInto<Event, Error: Into<BoxError>>,
    {
        self.send(topic.as_ref(), event, false).await
    }

    /// Publishes an event from synchronous code, in a hub without a broker.
    ///
    /// It holds locks only briefly, wakes the subscribers that wait for the topic, and
    /// [evicts](HubBuilder::max_memory) events if a limit is exceeded.
    ///
    /// # Errors
    ///
    /// Returns an error if the value does not convert into an event, if the event has no data or
    /// has an id, if the topic has [ended](Self::end), or if the hub is [closed](Self::close).
    ///
    /// Returns [`PublishError::NotInProcess`] if the hub has a [broker](Self::connect), whose
    /// acknowledgement it cannot await.
    pub fn publish_now<E>(&self, topic: impl AsRef<str>, event: E) -> Result<Receipt, PublishError>
    where
        E: TryInto<Event, Error: Into<BoxError>>,
    {
        self.send_now(topic.as_ref(), event, false)
    }

    /// Publishes the last event of a topic and ends the topic.
    ///
    /// - Subscriptions end after it, those of several topics once all of their topics have ended.
    /// - A client that reconnects receives what it missed, and then the end. If it has missed
    ///   nothing, [`response`](crate::response) answers `204` to an `EventSource`, which then stops
    ///   reconnecting, and an empty stream to other clients.
    /// - Publishing to the topic fails with [`PublishError::Ended`] until the event is older than
    ///   [`retain_for`](HubBuilder::retain_for). From then on, the name is free: the next event begins
    ///   the topic anew. With a broker, all processes need the same value.
    /// - Over Redis, the end is announced to all processes first. That takes 100 ms if no topic has
    ///   ended in the last 10 seconds.
    ///
    /// ```
    /// use tower_sse::{Event, hub::{Hub, PublishError}};
    ///
    /// async fn finish(hub: &Hub, job: u64) -> Result<(), PublishError> {
    ///     hub.end(format!("job:{job}"), Event::new().event("done").data("")).await?;
    ///     Ok(())
    /// }
    /// # drop(finish(&Hub::new(), 7));
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`publish`](Self::publish). After
    /// [`Unknown`](PublishError::Unknown), ending the topic again is safe.
    ///
    /// # Cancel safety
    ///
    /// As for [`publish`](Self::publish).
    pub async fn end<E>(&self, topic: impl AsRef<str>, event: E) -> Result<Receipt, PublishError>
    where
        E: TryInto<Event, Error: Into<BoxError>>,
    {
        self.send(topic.as_ref(), event, true).await
    }

    /// Publishes the last event of a topic and ends the topic, from synchronous code and in a hub
    /// without a broker. See [`end`](Self::end).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`publish_now`](Self::publish_now).
    pub fn end_now<E>(&self, topic: impl AsRef<str>, event: E) -> Result<Receipt, PublishError>
    where
        E: TryInto<Event, Error: Into<BoxError>>,
    {
        self.send_now(topic.as_ref(), event, true)
    }

    #[inline]
    fn send_now<E>(&self, topic: &str, event: E, is_last: bool) -> Result<Receipt, PublishError>
    where
        E: TryInto<Event, Error: Into<BoxError>>,
    {
        let event = event.try_into().map_err(|error| PublishError::Invalid(error.into()))?;
        check(&event)?;
        if self.shared.link().is_some() {
            return Err(PublishError::NotInProcess);
        }
        self.shared.publish(topic, &event, is_last)
    }

    async fn send<E>(&self, topic: &str, event: E, is_last: bool) -> Result<Receipt, PublishError>
    where
        E: TryInto<Event, Error: Into<BoxError>>,
    {
        let event = event.try_into().map_err(|error| PublishError::Invalid(error.into()))?;
        check(&event)?;
        let Some(link) = self.shared.link() else {
            return self.shared.publish(topic, &event, is_last);
        };
        if self.shared.is_closed() {
            return Err(PublishError::Closed);
        }
        if self.shared.has_ended(topic) {
            return Err(PublishError::Ended);
        }
        // This future does not borrow the event.
        let publishing = link.publish(topic, &event, is_last);
        drop(event);
        let Acknowledged { sequence, at, arrival_deadline } = publishing.await?;
        if let Some(deadline) = arrival_deadline {
            link.arrivals.wait(&self.shared, sequence, deadline).await;
        }
        let (end, subscribers) = self.shared.topics.end_and_subscribers(topic);
        if end.is_some_and(|end| end.sequence < sequence && at < end.free_at) {
            return Err(PublishError::Ended);
        }
        Ok(Receipt { position: self.shared.position(sequence), subscribers })
    }

    /// Subscribes to topics. Duplicate names count once. [`Subscribe::resume`] starts the
    /// subscription.
    ///
    /// ```
    /// use tower_sse::{LastEventId, hub::{Hub, Subscription}};
    ///
    /// fn events(hub: &Hub, client: &str, last: Option<LastEventId>) -> Subscription {
    ///     hub.subscribe(["news", &format!("client:{client}")]).resume(last)
    /// }
    /// # events(&Hub::new(), "7", None);
    /// ```
    pub fn subscribe<T>(&self, topics: T) -> Subscribe
    where
        T: IntoIterator<Item: AsRef<str>>,
    {
        Subscribe::new(Arc::clone(&self.shared), topics)
    }

    /// Subscribes to one topic, as [`subscribe`](Self::subscribe) does to several.
    ///
    /// ```
    /// use tower_sse::{LastEventId, hub::{Hub, Subscription}};
    ///
    /// fn events(hub: &Hub, last: Option<LastEventId>) -> Subscription {
    ///     hub.subscribe_to("news").resume(last)
    /// }
    /// # events(&Hub::new(), None);
    /// ```
    pub fn subscribe_to(&self, topic: impl AsRef<str>) -> Subscribe {
        self.subscribe([topic])
    }

    /// Returns the id of the newest event of all topics, as a position to resume from.
    ///
    /// Take the position first, then read the current state, and render both into a page. A stream
    /// that resumes after the position misses no event; it may repeat one that the state includes.
    /// [State in a database](super#state-in-a-database) has an example.
    ///
    /// - In a browser, `EventSource` cannot set headers. Send the id in the query, and enable
    ///   [`SseLayer::last_event_id_query`](crate::SseLayer::last_event_id_query).
    /// - In code, use `LastEventId::from(hub.position())`.
    ///
    /// With a [broker](Self::connect), this is the newest event that this process has received,
    /// which can be older than one that this process has just published.
    #[must_use]
    pub fn position(&self) -> EventId {
        self.shared.position(self.shared.committed()).into()
    }

    /// Returns the number of subscriptions of a topic, in this process.
    #[must_use]
    pub fn subscriber_count(&self, topic: &str) -> usize {
        self.shared.topics.get(topic).map_or(0, |topic| topic.lock().subscribers)
    }

    /// Returns the names of the topics that have subscriptions or keep events, in no particular
    /// order.
    #[must_use]
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.shared.topics.all().iter().map(|topic| Arc::clone(topic.name())).collect()
    }

    /// Returns statistics of the hub, for an endpoint such as `/metrics`.
    ///
    /// It locks one topic after another, so its cost grows with the number of topics.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        self.shared.stats()
    }

    /// Closes the hub. From then on publishing fails, and each subscription ends after the events
    /// that were published before. Hubs of other processes that are connected to the same
    /// [broker](Self::connect) stay open.
    pub fn close(&self) {
        self.shared.close();
    }
}

/// Checks that an event can be published.
#[inline]
fn check(event: &Event) -> Result<(), PublishError> {
    if event.has_id() {
        return Err(PublishError::HasId);
    }
    if !event.has_data() {
        return Err(PublishError::NoData);
    }
    Ok(())
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("epoch", &self.shared.epoch)
            .field("committed", &self.shared.committed())
            .field("closed", &self.shared.is_closed())
            .field("topics", &self.shared.topics)
            .finish()
    }
}
