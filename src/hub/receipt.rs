use crate::{event::EventId, history::Position};

/// The id of a published event, and the number of the topic's subscriptions in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    pub(crate) position: Position,
    /// The number of subscriptions that the topic had in this process.
    ///
    /// - Without a [broker](super::Hub::connect) they are counted at publication. Each of them
    ///   sends the event, unless it ends first or the event is evicted first.
    /// - With a broker they are counted once the broker has acknowledged the event. Subscriptions in
    ///   other processes are not counted.
    pub subscribers: usize,
}

impl Receipt {
    /// Returns the id of the event. A client that received it last sends this id as
    /// `Last-Event-ID`.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.position.into()
    }
}
