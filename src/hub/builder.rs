use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::broker::{Broker, Feed};
use super::retention::Retention;
use super::topic::{RetentionOf, Topics};
use super::{Hub, append::HubState, link::Link};
use crate::{callback::Opaque, history::Epoch};

impl Hub {
    /// Returns a hub with the default limits: [`Retention::new`] for each topic, and
    /// [`max_memory`](HubBuilder::max_memory) for all topics together.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder for a hub with custom limits.
    pub fn builder() -> HubBuilder {
        HubBuilder::default()
    }

    /// Connects to a broker, like [`HubBuilder::connect`] with the default limits. Events then
    /// reach the subscribers in all processes that share the broker.
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
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

/// A builder for a [`Hub`] with custom limits. [`Retention`] has an example.
#[derive(Debug)]
#[must_use]
pub struct HubBuilder {
    retention: Retention,
    retention_of: Option<RetentionOf>,
    max_memory: usize,
}

impl HubBuilder {
    /// Limits the events that each topic keeps. The default is [`Retention::new`].
    pub const fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Limits the events that individual topics keep. The closure gets a topic's name and returns
    /// its limits. If the closure returns `None`, the limits of [`retention`](Self::retention)
    /// apply.
    ///
    /// The hub calls the closure whenever it creates a topic. During the call, the hub holds no
    /// lock. If the closure subscribes or publishes to that topic, it recurses forever.
    pub fn retention_of<F>(mut self, retention_of: F) -> Self
    where
        F: Fn(&str) -> Option<Retention> + Send + Sync + 'static,
    {
        self.retention_of = Some(Opaque(Box::new(retention_of)));
        self
    }

    /// Limits the total memory of all events and topics to `bytes`. The default is 64 MiB.
    ///
    /// The limit counts events, the topics that keep them, the [frames](super#memory) that topics
    /// cache, and bookkeeping. Bookkeeping takes less than 200 bytes for each event or frame, and
    /// less than 1 KiB plus the name's length for each topic. The limit doesn't count:
    ///
    /// - Topics that have subscriptions but keep no events.
    /// - Events in a topic that [`Streams::follow`](crate::streams::Streams::follow) reads. They
    ///   take at most 1.2 MiB or `bytes`, whichever is larger.
    /// - Evicted events and frames that the server hasn't sent yet.
    /// - The indexes of [own ids](super::Subscribe::own_ids).
    /// - The hub's records of up to 131,072 topics that it has removed.
    ///
    /// Above the limit, the hub evicts the oldest events across all topics. It evicts a topic's
    /// newest event only when no counted topic has more than one event. After a large event, memory
    /// can stay above the limit until more events are published.
    ///
    /// An event that is larger than the limit isn't kept. Its topic's earlier events are evicted
    /// too, and the topic's subscribers receive a gap. With a limit of zero, subscribers receive
    /// gaps in place of events.
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.max_memory = bytes;
        self
    }

    /// Returns the hub.
    #[must_use]
    pub fn build(self) -> Hub {
        Hub { shared: self.shared(Epoch::now(), None) }
    }

    /// Connects to a broker. Returns the hub once it has loaded the broker's recent events. These
    /// go back at least as far as the age limit of [`retention`](Self::retention), by default 5
    /// minutes. Older events may be left out, even if [`retention_of`](Self::retention_of) keeps
    /// some topics' events longer.
    ///
    /// Call this in a runtime that lives as long as the hub. With most brokers, the hub closes when
    /// this runtime ends.
    ///
    /// # Errors
    ///
    /// Returns the broker's error if connecting or loading the history fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready closes the connection.
    pub async fn connect<B: Broker>(self, broker: B) -> Result<Hub, B::Error> {
        let closed = CancellationToken::new();
        let max_age = self.retention.age;
        let link = Link::new(closed.clone());
        let shared = self.shared(Epoch::of_name(&broker.name()), Some(link));
        let publisher = broker.start(Feed::new(&shared, closed, max_age)).await?;
        if let Some(link) = &shared.link {
            link.set_publisher(publisher);
        }
        Ok(Hub { shared })
    }

    fn shared(self, epoch: Epoch, link: Option<Link>) -> Arc<HubState> {
        let topics = Topics::new(self.retention, self.retention_of, self.max_memory);
        Arc::new(HubState::new(epoch, topics, link))
    }
}

impl Default for HubBuilder {
    fn default() -> Self {
        Self { retention: Retention::new(), retention_of: None, max_memory: 64 << 20 }
    }
}
