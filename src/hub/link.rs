use std::sync::{OnceLock, atomic::AtomicBool, atomic::Ordering::Relaxed};
use std::{pin::Pin, time::Duration};

use tokio_util::sync::CancellationToken;

use super::PublishError;
use crate::{callback::without_panic, event::Event, sync::AtomicU64};

/// The hub's end of the link to a broker. Dropping the link cancels `closed`, which ends the
/// broker's tasks.
pub(crate) struct Link {
    /// Set once the broker has connected, before the program gets the hub.
    publisher: OnceLock<Box<dyn AnyPublisher>>,
    /// Cancelled when the hub is closed or dropped.
    pub(crate) closed: CancellationToken,
    /// Whether the warning about `publish_now` has been logged.
    has_warned: AtomicBool,
    /// How old the newest event was when it arrived, in microseconds; 0 for loaded history.
    lag: AtomicU64,
}

impl Link {
    pub(crate) fn new(closed: CancellationToken) -> Self {
        Self {
            publisher: OnceLock::new(),
            closed,
            has_warned: AtomicBool::new(false),
            lag: AtomicU64::new(0),
        }
    }

    pub(crate) fn set_publisher(&self, publisher: impl Publisher) {
        // The hub connects once.
        _ = self.publisher.set(Box::new(publisher));
    }

    pub(crate) async fn publish(
        &self,
        publication: Publication,
    ) -> Result<Acknowledged, PublishError> {
        match self.publisher.get() {
            Some(publisher) => publisher.publish(publication).await,
            // Unreachable: the program gets the hub only after the broker has connected.
            None => Err(PublishError::Closed),
        }
    }

    pub(crate) fn newest_possible(&self, committed: u64) -> u64 {
        self.publisher.get().map_or(committed, |publisher| publisher.newest_possible(committed))
    }

    pub(crate) fn warn_not_in_process(&self) {
        if !self.has_warned.swap(true, Relaxed) {
            warn!("`publish_now` cannot publish through a broker: use `publish`");
        }
    }

    /// Does nothing while the history is being loaded: old events do not mean that the hub is
    /// behind.
    pub(crate) fn set_lag(&self, lag: Duration) {
        if self.publisher.get().is_none() {
            return;
        }
        self.lag.store(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn lag(&self) -> Duration {
        Duration::from_micros(self.lag.load(Relaxed))
    }
}

impl Drop for Link {
    /// Cancels `closed` before the publisher is dropped, which may wait for the thread that feeds
    /// the hub.
    fn drop(&mut self) {
        // A waker of the program can panic.
        without_panic(|| self.closed.cancel());
    }
}

/// The interface through which a hub publishes to its broker.
/// [`Broker::start`](crate::hub::broker::Broker::start) returns it.
///
/// The hub can call [`publish`](Self::publish) from any task of the program, with thousands of
/// calls in flight at once. Each event has data and no id.
pub trait Publisher: Send + Sync + 'static {
    /// Publishes an event and returns once the broker has acknowledged it. If events are published
    /// at the same time, the broker may number them in any order.
    ///
    /// # Errors
    ///
    /// - [`Refused`](PublishError::Refused): the event was not published, and certainly won't be.
    /// - [`TooLarge`](PublishError::TooLarge) or [`Invalid`](PublishError::Invalid): the broker
    ///   can't store the event, because of its size or a character.
    /// - [`Unknown`](PublishError::Unknown): the event may have been published, for example because
    ///   the broker didn't answer in time.
    /// - [`Closed`](PublishError::Closed): the hub is closed, and the event was not sent.
    /// - [`Ended`](PublishError::Ended): the broker knows that the topic has ended.
    ///
    /// # Cancel safety
    ///
    /// Before its first poll, the future must send nothing. If it is dropped later, its event may
    /// still be published. Dropping the future must not affect other calls.
    fn publish(
        &self,
        publication: Publication,
    ) -> impl Future<Output = Result<Acknowledged, PublishError>> + Send;

    /// Returns the highest sequence number that the broker may have assigned by now. `committed` is
    /// the highest number that it has fed to this process. The default is 2²⁰ above `committed`.
    ///
    /// A client with an id above the returned number receives a gap. If the number is too low, a
    /// client that has received newer events from another process receives a spurious gap. If it's
    /// too high, clients can miss events without a gap after the broker has lost its log. If your
    /// broker takes numbers from a clock, return the number for the current time or `committed`,
    /// whichever is higher, plus a margin. The margin covers clock errors, and bursts that push the
    /// numbers ahead of the clock.
    fn newest_possible(&self, committed: u64) -> u64 {
        committed.saturating_add(1 << 20)
    }
}

/// An event on its way to a broker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Publication {
    /// The topic: any text, even empty text.
    pub topic: String,
    /// The event. The broker must keep all [fields](Event::fields) of the event.
    pub event: Event,
    /// Whether the event is the last one of its topic. Pass the same value to
    /// [`Arrival::ends_topic`].
    pub ends_topic: bool,
}

/// An event that the broker has acknowledged.
#[derive(Clone, Copy, Debug)]
#[must_use = "return it from `publish`"]
pub struct Acknowledged {
    pub(crate) sequence: u64,
    pub(crate) at: Duration,
}

impl Acknowledged {
    /// Creates the acknowledgement of the event with this sequence number. `at` is when the event
    /// was published, for example as the time since 1970. [Rule
    /// 9](crate::hub::broker::Broker#what-a-broker-must-do) says which clock to use.
    pub const fn new(sequence: u64, at: Duration) -> Self {
        Self { sequence, at }
    }
}

pub(super) trait AnyPublisher: Send + Sync {
    fn publish(&self, publication: Publication) -> Publishing<'_>;

    fn newest_possible(&self, committed: u64) -> u64;
}

pub(super) type Publishing<'a> =
    Pin<Box<dyn Future<Output = Result<Acknowledged, PublishError>> + Send + 'a>>;

impl<P: Publisher> AnyPublisher for P {
    fn publish(&self, publication: Publication) -> Publishing<'_> {
        Box::pin(Publisher::publish(self, publication))
    }

    fn newest_possible(&self, committed: u64) -> u64 {
        Publisher::newest_possible(self, committed)
    }
}

/// What a broker knows about an event besides its content, for
/// [`Feed::event`](crate::hub::broker::Feed::event).
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub(crate) sequence: u64,
    pub(crate) at: Duration,
    pub(crate) age: Duration,
    pub(crate) ends_topic: bool,
}

impl Arrival {
    /// Creates an `Arrival` for the event with this sequence number. `at` is when the event was
    /// published, as in [`Acknowledged::new`]. `age` is the time since publication. The hub's age
    /// limit counts from the publication.
    ///
    /// After the end of a topic, the hub drops the topic's further events. There are two
    /// exceptions: an event before which a loss was reported since the topic ended, and an event
    /// that was published (`at`) after the topic's name [could be used
    /// again](crate::hub::Hub::end).
    #[must_use]
    pub const fn new(sequence: u64, at: Duration, age: Duration) -> Self {
        Self { sequence, at, age, ends_topic: false }
    }

    /// Sets whether the event is the last one of its topic. The default is `false`.
    #[must_use]
    pub const fn ends_topic(mut self, ends_topic: bool) -> Self {
        self.ends_topic = ends_topic;
        self
    }
}
