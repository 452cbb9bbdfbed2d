use std::{pin::Pin, time::Duration};

use crate::{event::Event, hub::PublishError};

/// The way from a hub to its broker, as [`Broker::start`](crate::hub::broker::Broker::start) returns it.
///
/// The hub calls [`publish`](Self::publish) from all tasks of the program at the same time, which can be
/// thousands. The hub has checked the event: it has data, it has no id, and its topic has not ended in
/// this process.
pub trait Publisher: Send + Sync + 'static {
    /// Publishes an event, and returns once the broker has acknowledged it. Events that are published at
    /// the same time may be numbered in any order.
    ///
    /// # Errors
    ///
    /// - [`Refused`](PublishError::Refused): the event is certainly not published, and will not be.
    /// - [`Unknown`](PublishError::Unknown): anything else, such as no answer within the broker's own
    ///   time limit.
    /// - [`Ended`](PublishError::Ended), if the broker itself knows which topics have ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing may be sent before the first poll. A future that is dropped later may or may not
    /// publish its event, and must not disturb others.
    fn publish(
        &self,
        publication: Publication,
    ) -> impl Future<Output = Result<Acknowledged, PublishError>> + Send;

    /// Returns the highest sequence number that the broker may have assigned by now. `committed` is
    /// the highest that this process has been fed.
    ///
    /// A client whose id is above it has made it up, or has it from a log that is lost, and receives
    /// a gap. Too low a number costs clients that come from a faster process a gap; too high a one
    /// lets clients of a lost log wait without a word. The default is 2²⁰ above `committed`. A broker
    /// that numbers by a clock returns the number of that clock now, with an allowance for its error.
    fn newest_possible(&self, committed: u64) -> u64 {
        committed.saturating_add(1 << 20)
    }
}

/// An event on its way to a broker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Publication {
    /// The topic. Any text, also an empty one.
    pub topic: String,
    /// The event. Its [fields](Event::fields) are what a broker keeps.
    pub event: Event,
    /// Whether the event is the last one of its topic. [`Arrival::ends_topic`](super::Arrival) has to
    /// say the same.
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
    /// Creates the acknowledgement of the event with this sequence number, which was published `at`
    /// this time of the clock that all processes share. The hub compares it with the time at which the
    /// name of an [ended](crate::hub::Hub::end) topic is free again.
    pub const fn new(sequence: u64, at: Duration) -> Self {
        Self { sequence, at }
    }
}

/// A [`Publisher`] of any type.
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
