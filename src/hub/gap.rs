use std::sync::Arc;

use bytes::BytesMut;

use super::position::Position;
use crate::event::{Encoded, Event, EventId};

/// What a subscription does when it cannot give all that its client has missed.
///
/// A gap is sent as an event with the name `gap`, whose data is the topic. Its id is that of the last event
/// lost, so a client that resumes after it is not sent it again.
///
/// Several topics can have gaps at the same place, as after an id that no hub gave out. They are sent
/// together, in items of up to 256 gaps, and only the last of them has the id of that place. A client that
/// leaves before it is sent all of them again.
///
/// To a client an event that the program publishes under the name `gap` looks the same, so use another one. And clients
/// are told the names of topics by it, if they do not know them already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapPolicy {
    /// It tells the gap and goes on: the page loads what it needs.
    #[default]
    Report,
    /// It tells the gap, with all those of other topics at the same place, and ends. Where a topic loses events sooner than
    /// its clients come back, they get little else.
    ReportAndEnd,
    /// It goes on without a word, for topics of which only the newest matters.
    Ignore,
}

/// The events that tell gaps at one place. A client that leaves after one comes back with the id `again`, until it
/// has had the `last`.
pub(super) fn tell(topics: &[Arc<str>], again: Position, last: Position) -> Encoded {
    let mut told = BytesMut::new();
    for (at, topic) in topics.iter().enumerate() {
        let position = if at + 1 == topics.len() { last } else { again };
        // Never without an id: to the standard, clients forget the one they had at the first event of a
        // connection that has none.
        let gap =
            Event::new().event("gap").id(EventId::from(position)).data(String::from(&**topic));
        told.extend_from_slice(Encoded::from(gap).as_bytes());
    }
    Encoded::of(told.freeze())
}
