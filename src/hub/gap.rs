use super::position::Position;
use crate::event::{Encoded, Event, EventId};

/// What a subscription does when it cannot give all that its client has missed.
///
/// A gap is told as an event with the name `gap`, whose data is the topic. Its id is that of the last event
/// lost, so a client that resumes after it is not told again. When several topics have theirs at the same
/// place, which they have after an id that says nothing, only the last of these gaps has the id.
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
pub(super) fn gap(topic: &str, position: Option<Position>) -> Encoded {
    let gap = Event::new().event("gap").data(topic.to_owned());
    match position.map(EventId::from) {
        Some(id) => gap.id(id).into(),
        None => gap.into(),
    }
}
