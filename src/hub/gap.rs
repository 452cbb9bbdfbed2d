use std::sync::Arc;

use bytes::BytesMut;

use crate::{
    event::{Encoded, Event, EventId},
    history::Position,
};

/// The action of a subscription when events that its client has not seen were evicted, or lost by
/// a [broker](super::Hub::connect).
///
/// A gap is reported as an event with the name `gap`, whose data is the name of the topic. Its id
/// is that of the newest evicted event, so a client that resumes after it does not receive it
/// again.
///
/// A broker does not know which events it has lost, so each topic of the subscription has a gap.
/// The events that the hub keeps from before the loss are sent first.
///
/// Several topics can have a gap at the same position: after a loss, or a malformed id. Their
/// gaps are sent together, in items of up to 256, and only the last one has the id of that
/// position. A client that disconnects before the last one receives all of them again.
///
/// - Do not publish events with the name `gap`: a client cannot distinguish them.
/// - A gap reveals the name of its topic to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapPolicy {
    /// Reports the gap and continues. The client can then load the current state.
    #[default]
    Report,
    /// Reports the gap, with those of other topics at the same position, and ends the stream.
    ///
    /// If a topic evicts events faster than its clients reconnect, they receive little but gaps.
    ReportAndEnd,
    /// Continues without a report, for topics of which only the newest event matters.
    Ignore,
}

/// Encodes a gap event for each topic. The final one has the id `last`, the rest have `before`.
pub(super) fn encode_gaps(topics: &[Arc<str>], before: Position, last: Position) -> Encoded {
    let mut gaps = BytesMut::new();
    for (index, topic) in topics.iter().enumerate() {
        let position = if index + 1 == topics.len() { last } else { before };
        // Each has an id: by the HTML standard, the first event of a connection without one resets
        // the client's last event id.
        let gap =
            Event::new().event("gap").id(EventId::from(position)).data(String::from(&**topic));
        gaps.extend_from_slice(Encoded::from(gap).as_bytes());
    }
    Encoded::of(gaps.freeze())
}
