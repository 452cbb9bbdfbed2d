use std::sync::Arc;

use tokio::task::coop::consume_budget;

use super::append::{GAP, HubState};
use super::link::{Acknowledged, Publication};
use super::{HubStats, PublishError, Receipt, Subscribe, TopicNames};
use crate::{BoxError, event::Event, event::EventId};

/// A set of topics with publishers and subscribers. Clones are cheap and share the topics. The
/// [module](super) has an overview.
///
/// Subscriptions end when the hub is [closed](Self::close), but not when its last clone is dropped.
#[derive(Clone)]
#[doc(alias = "broadcast")]
#[doc(alias = "channel")]
pub struct Hub {
    pub(crate) shared: Arc<HubState>,
}

impl Hub {
    /// Subscribes to topics. Duplicate names count once. Call [`Subscribe::resume`] to start.
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
        T: TopicNames,
    {
        Subscribe::new(Arc::clone(&self.shared), topics)
    }

    /// Subscribes to one topic.
    pub fn subscribe_to(&self, topic: impl AsRef<str>) -> Subscribe {
        self.subscribe([topic])
    }

    /// Returns the hub's current position, from which a stream can resume.
    ///
    /// Take the position first, then read your application's state. A stream that resumes from this
    /// position may repeat events that the state already includes. [State in a
    /// database](super#state-in-a-database) has an example.
    ///
    /// With a [broker](Self::connect), this is the position of the newest event or loss that this
    /// process has received. An event that you have just published can be newer.
    #[must_use]
    pub fn position(&self) -> EventId {
        self.shared.position(self.shared.committed()).into()
    }

    /// Returns the number of subscriptions to a topic in this process.
    #[must_use]
    pub fn subscriber_count(&self, topic: &str) -> usize {
        self.shared.topics.get(topic).map_or(0, |topic| topic.lock().subscribers as usize)
    }

    /// Returns the topics that have subscriptions or keep events, in no particular order.
    #[must_use]
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.shared.topics.all().iter().map(|topic| topic.name().into()).collect()
    }

    /// Returns statistics of the hub, for an endpoint such as `/metrics`. With a million topics,
    /// the call blocks the thread for about 0.1 s.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        self.shared.stats()
    }

    /// Closes the hub, after which publishing fails. Each subscription sends the events that this
    /// hub received before the close and then ends. Hubs of other processes with the same
    /// [broker](Self::connect) stay open.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Reports a loss as a broker's reader does. Only the loom models call this.
    #[cfg(tower_sse_loom)]
    pub fn report_loss(&self, sequence: u64) {
        _ = self.shared.record_loss(sequence);
    }
}

opaque_debug!(Hub);

/// Publishing.
impl Hub {
    /// Publishes an event to all subscribers of a topic. While the hub keeps the event, clients
    /// that missed it receive it when they [resume](super::Subscribe::resume) with their last id.
    ///
    /// The publisher never waits for a slow client. But a task that publishes in a loop lets other
    /// tasks run after at most 128 events, by [tokio's cooperative budget][coop], so clients that
    /// read all the time can keep up. If a topic has hundreds of such clients, some may still get a
    /// gap.
    ///
    /// With a [broker](Self::connect), the future is ready when the broker has acknowledged the
    /// event, which can be before any process has received it.
    ///
    /// [coop]: https://docs.rs/tokio/latest/tokio/task/coop/
    ///
    /// # Errors
    ///
    /// Returns a [`PublishError`]. It tells you whether the event may have been published.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before its first poll, nothing is published. Without a broker, the
    /// same holds for a later drop. With a broker, the event may still be published after a later
    /// drop.
    pub async fn publish<E>(
        &self,
        topic: impl AsRef<str>,
        event: E,
    ) -> Result<Receipt, PublishError>
    where
        E: IntoEvent,
    {
        self.send(topic.as_ref(), publishable(event)?, false).await
    }

    /// Publishes an event from synchronous code. This works only if the hub has no broker.
    ///
    /// In async code, use [`publish`](Self::publish).
    ///
    /// A loop of `publish_now` calls lets no other task run on its thread. If a topic evicts events
    /// meanwhile, clients can get a gap: pause the loop, or let the topic
    /// [keep](super::HubBuilder::retention) more. A topic with
    /// [`Retention::latest`](crate::Retention::latest) needs neither, because replaced events cause
    /// no gap.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`publish`](Self::publish), or [`PublishError::NotInProcess`] if
    /// the hub has a [broker](Self::connect).
    pub fn publish_now<E>(&self, topic: impl AsRef<str>, event: E) -> Result<Receipt, PublishError>
    where
        E: IntoEvent,
    {
        let event = publishable(event)?;
        if let Some(link) = &self.shared.link {
            link.warn_not_in_process();
            return Err(PublishError::NotInProcess);
        }
        self.shared.publish(topic.as_ref(), &event, false)
    }

    /// Publishes the last event of a topic and ends the topic. [Progress of a
    /// job](super#progress-of-a-job) has an example.
    ///
    /// A stream ends once all its topics have ended. A client that then resumes receives what it
    /// missed, and its stream ends too. If it missed nothing,
    /// [`Subscription::response`](super::Subscription::response) stops an `EventSource` from
    /// reconnecting.
    ///
    /// Publishing to an ended topic fails with [`PublishError::Ended`]. Once the last event exceeds
    /// the hub's [age limit](super::HubBuilder::retention), the next event starts the topic again.
    /// In a hub with [`Retention::latest`](crate::Retention::latest), which has no age limit by
    /// default, that's after 5 minutes. A hub remembers at most 65,536 ended topics that have
    /// neither events nor subscribers left. If there are more, it forgets the topics that ended
    /// first.
    ///
    /// With a broker, set the same age limit in all processes. Until a process has received the
    /// last event, the broker may acknowledge events that the process publishes after it. No client
    /// receives these events, unless the broker reports a loss between them and the last event.
    ///
    /// If a broker loses a topic's last event, processes can disagree about whether the topic has
    /// ended: publishing fails only in those that received the last event. If the broker has
    /// reported the loss, an event from another process starts the topic again in all processes.
    /// Otherwise, the processes that received the last event drop that event.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`publish`](Self::publish). After
    /// [`TooLarge`](PublishError::TooLarge), end the topic with a smaller event. After
    /// [`Unknown`](PublishError::Unknown), you can call this method again as long as the age limit
    /// hasn't passed since the first call. If the second call returns
    /// [`Ended`](PublishError::Ended), the topic has ended, for example because the first call
    /// succeeded.
    ///
    /// # Cancel safety
    ///
    /// The same as for [`publish`](Self::publish).
    pub async fn end<E>(&self, topic: impl AsRef<str>, event: E) -> Result<Receipt, PublishError>
    where
        E: IntoEvent,
    {
        self.send(topic.as_ref(), publishable(event)?, true).await
    }

    /// Reports that events of a topic may be missing, for example because your program lost the
    /// connection to their source.
    ///
    /// Each subscriber receives a [gap](super::GapPolicy) between the events published before this
    /// call and the events published later. A client that was disconnected receives the gap when it
    /// resumes. A first visit receives no gaps from before the visit. With
    /// [`since`](super::Subscribe::since), it receives the gaps after that position. In a topic
    /// with [`Retention::latest`](crate::Retention::latest), the next event replaces the gap. A hub
    /// remembers the gaps of at most 65,536 topics that have neither events nor subscribers. If
    /// there are more, clients of [quiet topics](super#gaps) can get a gap too.
    ///
    /// With a [broker](Self::connect), the clients of all processes receive the gap. SQL
    /// transactions, and programs in other languages, can publish a gap too, as an event named
    /// `gap`. The event's data is ignored.
    ///
    /// ```
    /// use tower_sse::hub::{Hub, PublishError};
    ///
    /// # struct Upstream;
    /// # impl Upstream {
    /// #     async fn connect() -> Self { Self }
    /// #     async fn next(&mut self) -> Option<String> { None }
    /// # }
    /// async fn forward(hub: &Hub) -> Result<(), PublishError> {
    ///     loop {
    ///         let mut upstream = Upstream::connect().await;
    ///         hub.gap("prices").await?; // what came before the connection is unknown
    ///         while let Some(price) = upstream.next().await {
    ///             hub.publish("prices", price).await?;
    ///         }
    ///     }
    /// }
    /// # drop(forward(&Hub::new()));
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`publish`](Self::publish). After
    /// [`Unknown`](PublishError::Unknown), call this method again: at worst, clients receive two
    /// gaps.
    ///
    /// # Cancel safety
    ///
    /// The same as for [`publish`](Self::publish).
    pub async fn gap(&self, topic: impl AsRef<str>) -> Result<Receipt, PublishError> {
        self.send(topic.as_ref(), Event::new().event(GAP).data(""), false).await
    }

    async fn send(
        &self,
        topic: &str,
        event: Event,
        ends_topic: bool,
    ) -> Result<Receipt, PublishError> {
        // Awaited before publishing: a future that is dropped here has published nothing.
        consume_budget().await;
        let Some(link) = &self.shared.link else {
            // Without a broker, `append` makes the checks that follow.
            return self.shared.publish(topic, &event, ends_topic);
        };
        if self.shared.is_closed() {
            return Err(PublishError::Closed);
        }
        if self.shared.has_ended(topic) {
            return Err(PublishError::Ended);
        }
        let publication = Publication { topic: topic.to_owned(), event, ends_topic };
        let Acknowledged { sequence, at } = link.publish(publication).await?;
        let (end, subscribers) = self.shared.topics.end_and_subscribers(topic);
        if end.is_some_and(|end| self.shared.drops_after(&end, sequence, at)) {
            return Err(PublishError::Ended);
        }
        Ok(Receipt { position: self.shared.position(sequence), subscribers })
    }
}

/// The maximum length of an event's data in bytes. Brokers need not store more.
const MAX_DATA: usize = 1 << 20;

#[inline]
fn publishable<E>(event: E) -> Result<Event, PublishError>
where
    E: IntoEvent,
{
    let event = event.try_into().map_err(|error| PublishError::Invalid(error.into()))?;
    if event.has_id() {
        return Err(PublishError::HasId);
    }
    if event.fields().name == Some(GAP) {
        return Err(PublishError::Invalid("the name `gap` is for gaps".into()));
    }
    let length = event.fields().data.len();
    if length > MAX_DATA {
        let reason = format!("data has {length} bytes, more than {MAX_DATA}");
        return Err(PublishError::TooLarge(reason.into()));
    }
    if event.has_data() { Ok(event) } else { Err(PublishError::NoData) }
}

/// A value that [`Hub::publish`](super::Hub::publish) accepts as an event: an [`Event`], text, a
/// [`Message`](crate::decode::Message) or, with feature `json`, a [`Json`](crate::Json).
///
/// Every type that converts into an [`Event`] implements this trait, and no other type can. Use it
/// as a bound:
///
/// ```
/// use tower_sse::hub::{Hub, IntoEvent, PublishError};
///
/// async fn notify(hub: &Hub, user: u64, event: impl IntoEvent) -> Result<(), PublishError> {
///     hub.publish(format!("user:{user}"), event).await?;
///     Ok(())
/// }
/// # drop(notify(&Hub::new(), 7, "text"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event that can be published",
    label = "does not convert into `tower_sse::Event`",
    note = "a value becomes an event by `Json::new(value)`, and with a name by \
            `Event::new().event(\"name\").json(value)` (feature `json`)",
    note = "an `Event`, a `&str` and a `String` can be published as they are; other values become \
            text by `value.to_string()`"
)]
pub trait IntoEvent: TryInto<Event, Error: Into<BoxError>> {}

// Without this attribute, the compiler would report that `From` is not implemented.
#[diagnostic::do_not_recommend]
impl<E: TryInto<Event, Error: Into<BoxError>>> IntoEvent for E {}
