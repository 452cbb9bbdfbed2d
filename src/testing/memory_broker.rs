use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::time::Instant;

use crate::{
    BoxError,
    event::Event,
    hub::{Broker, Feed, PublishError, Publisher, Publishing, SealedBroker},
};

/// A [`Broker`] in memory, for tests of programs whose processes share a broker.
///
/// Connect each hub with a clone; all clones share the events. A test can make it fail as a broker
/// on a network does.
///
/// ```
/// use tower_sse::{Event, hub::{Hub, PublishError}, testing::MemoryBroker};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MemoryBroker::new();
/// let one = Hub::connect(broker.clone()).await?;
/// let other = Hub::connect(broker.clone()).await?;
///
/// let receipt = one.publish("news", "hello").await?;
/// assert_eq!(other.position(), receipt.id());
///
/// broker.refuse(1);
/// assert!(matches!(one.publish("news", "again").await, Err(PublishError::Refused(_))));
/// # Ok(())
/// # }
/// ```
///
/// It keeps all published events without a limit, and a hub that connects loads all of them.
#[derive(Clone, Default)]
pub struct MemoryBroker {
    state: Arc<Mutex<State>>,
    /// Part of the broker's name, so that the ids of two brokers differ.
    number: u64,
}

#[derive(Default)]
struct State {
    newest: u64,
    /// Events up to this sequence number are lost.
    lost: u64,
    history: Vec<Published>,
    feeds: Vec<Feed>,
    to_refuse: usize,
    to_lose_acknowledgements_of: usize,
}

struct Published {
    sequence: u64,
    topic: String,
    event: Event,
    at: Instant,
}

impl MemoryBroker {
    /// Creates a broker without events.
    #[must_use]
    pub fn new() -> Self {
        static CREATED: AtomicU64 = AtomicU64::new(0);
        Self { number: CREATED.fetch_add(1, Relaxed), ..Self::default() }
    }

    /// Loses all events, as a broker does that restarts without its data.
    ///
    /// Hubs keep the events that they have received. Each subscription receives those, and then a
    /// [gap](crate::hub::GapPolicy) for each topic.
    pub fn lose_history(&self) {
        let mut state = self.lock();
        state.newest += 1;
        let lost = state.newest;
        state.lost = lost;
        state.history.clear();
        state.feeds.retain(|feed| feed.report_loss(lost).is_ok());
    }

    /// Refuses the next `events` events. Publishing them fails with
    /// [`PublishError::Refused`](crate::hub::PublishError::Refused).
    pub fn refuse(&self, events: usize) {
        self.lock().to_refuse = events;
    }

    /// Loses the acknowledgements of the next `events` events. They are published, but publishing
    /// them fails with [`PublishError::Unknown`](crate::hub::PublishError::Unknown).
    pub fn lose_acknowledgements(&self, events: usize) {
        self.lock().to_lose_acknowledgements_of = events;
    }

    fn publish(&self, topic: String, event: Event) -> Result<u64, PublishError> {
        let mut state = self.lock();
        if state.to_refuse > 0 {
            state.to_refuse -= 1;
            return Err(PublishError::Refused(BoxError::from("refused by the test")));
        }
        let published = state.append(topic, event);
        if state.to_lose_acknowledgements_of > 0 {
            state.to_lose_acknowledgements_of -= 1;
            return Err(PublishError::Unknown(BoxError::from("acknowledgement lost by the test")));
        }
        Ok(published)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, topic: String, event: Event) -> u64 {
        self.newest += 1;
        let published = Published { sequence: self.newest, topic, event, at: Instant::now() };
        self.feeds.retain(|feed| published.feed_to(feed));
        self.history.push(published);
        self.newest
    }
}

impl Published {
    /// Feeds the event to a hub. Returns `false` if the hub is closed or dropped.
    fn feed_to(&self, feed: &Feed) -> bool {
        feed.event(self.sequence, &self.topic, &self.event, self.at.elapsed()).is_ok()
    }
}

impl Broker for MemoryBroker {}

impl SealedBroker for MemoryBroker {
    type Error = Infallible;

    fn name(&self) -> String {
        format!("memory:{}", self.number)
    }

    async fn start(self, feed: Feed) -> Result<impl Publisher, Infallible> {
        {
            let mut state = self.lock();
            let mut is_open = state.lost == 0 || feed.report_loss(state.lost).is_ok();
            is_open = is_open && state.history.iter().all(|published| published.feed_to(&feed));
            if is_open {
                state.feeds.push(feed);
            }
        }
        Ok(self)
    }
}

impl Publisher for MemoryBroker {
    fn publish(&self, topic: &str, event: &Event) -> Publishing {
        let (broker, topic, event) = (self.clone(), topic.to_owned(), event.clone());
        Box::pin(async move { broker.publish(topic, event) })
    }

    fn newest_possible(&self, _committed: u64) -> u64 {
        self.lock().newest
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").field("newest", &self.lock().newest).finish_non_exhaustive()
    }
}
