use super::position::Position;
use crate::event::{Encoded, Event, EventId};

/// What a subscription does when it cannot give all that its client has missed.
///
/// A gap is told as an event with the name `gap`, whose data is the topic. Its id is that of the last event
/// lost, so a client that resumes after it is not told again. When several topics have theirs at the same
/// place, which they have after an id that says nothing, that is the id of the last of these gaps; the others
/// have one after which all of them are told again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnGap {
    /// It tells the gap and goes on: the page loads what it needs.
    #[default]
    Tell,
    /// It tells the gap, with those of other topics at the same place, and ends.
    TellAndEnd,
    /// It goes on without a word, for topics of which only the newest matters.
    SayNothing,
}

/// The event that tells a gap.
pub(super) fn gap(topic: &str, position: Position) -> Encoded {
    // Never without an id: to the standard, clients forget the one they had at the first event of a connection
    // that has none.
    Event::new().event("gap").id(EventId::from(position)).data(topic.to_owned()).into()
}
