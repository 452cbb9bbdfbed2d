use std::sync::Arc;

use super::{HubStats, Subscribe, TopicNames, state::HubState};
use crate::event::EventId;

/// A set of topics with publishers and subscribers. Clones are cheap and share the topics.
///
/// See the [module](super) for an overview. Subscriptions end when the hub is
/// [closed](Self::close), but not when its last clone is dropped.
#[derive(Clone)]
#[doc(alias = "broadcast")]
#[doc(alias = "channel")]
pub struct Hub {
    pub(crate) shared: Arc<HubState>,
}

impl Hub {
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
        T: TopicNames,
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
    /// It locks one topic after another, so its cost grows with the number of topics: a million of them
    /// hold the thread for about 0.1 s.
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

    /// Reports a loss, as a broker's reader does, in the loom models.
    #[cfg(tower_sse_loom)]
    pub fn report_loss(&self, sequence: u64) {
        _ = self.shared.record_loss(sequence);
    }
}

opaque_debug!(Hub);
