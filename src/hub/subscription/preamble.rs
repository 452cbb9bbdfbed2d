use std::sync::Arc;

use bytes::BytesMut;

use super::cursor::TopicCursor;
use crate::{
    event::{Encoded, Event, EventId},
    history::Position,
};

/// The maximum number of gaps in one item.
pub(crate) const GAPS_PER_ITEM: usize = 256;

/// The items that a subscription sends before the next events of its topics.
///
/// After a malformed id, or a loss that the broker reported, these are a gap for each topic. On a
/// first visit and after a malformed id, the greeting follows.
#[derive(Debug)]
pub(crate) struct Preamble {
    /// The id of all gaps except the last. A client that reconnects with it receives all of them
    /// again.
    pub(crate) before: Position,
    /// The id of the last gap, the position from which the subscription continues.
    pub(crate) last: Position,
    /// The index of the first topic whose gap has not been sent.
    pub(crate) next_gap: usize,
    pub(crate) greeting: Option<Encoded>,
    /// Whether the subscription ends after the gaps.
    pub(crate) ends: bool,
}

impl Preamble {
    /// Returns the next item.
    pub(crate) fn next(&mut self, cursors: &[TopicCursor]) -> Option<Encoded> {
        let rest = cursors.get(self.next_gap..).unwrap_or_default();
        if rest.is_empty() {
            return self.greeting.take();
        }
        let topics: Vec<_> = rest
            .iter()
            .take(GAPS_PER_ITEM)
            .map(|cursor| Arc::clone(cursor.topic().name()))
            .collect();
        self.next_gap += topics.len();
        let last = if topics.len() == rest.len() { self.last } else { self.before };
        Some(encode_gaps(&topics, self.before, last))
    }

    /// Returns whether all items have been sent.
    pub(crate) const fn is_done(&self, cursors: &[TopicCursor]) -> bool {
        self.next_gap >= cursors.len() && (self.greeting.is_none() || self.ends)
    }
}

/// Encodes a gap event for each topic. The final one has the id `last`, the rest have `before`.
pub(super) fn encode_gaps(topics: &[Arc<str>], before: Position, last: Position) -> Encoded {
    let mut gaps = BytesMut::new();
    for (index, topic) in topics.iter().enumerate() {
        let position = if index + 1 == topics.len() { last } else { before };
        // Each gap has an id. By the HTML standard, an event without an id resets the client's last
        // event id if it is the first of a connection.
        let gap =
            Event::new().event("gap").id(EventId::from(position)).data(String::from(&**topic));
        gaps.extend_from_slice(Encoded::from(gap).as_bytes());
    }
    Encoded::of(gaps.freeze())
}
