//! What a subscription sends before its next events, and how a gap is written.

use std::sync::Arc;

use bytes::BytesMut;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::cursors::TopicCursor;
use crate::event::one_line::escape_json;
use crate::event::{Encoded, Event, EventId};
use crate::history::{Position, UnknownId};
use crate::hub::{GapReason, append::GAP, topic::Topic};

/// The maximum number of gaps in one item of the stream.
pub(super) const GAPS_PER_ITEM: usize = 256;

/// What a subscription sends before the next events: the gaps of its topics, and then the greeting.
#[derive(Debug)]
pub(crate) struct Preamble {
    /// The id of all gaps except the last. A client with this id receives all gaps again.
    pub(crate) before: Position,
    /// The id of the last gap: `before` if a greeting follows.
    pub(crate) last: Position,
    pub(crate) next_gap: usize,
    pub(crate) greeting: Option<Encoded>,
    pub(crate) ends: bool,
    pub(crate) reason: GapReason,
}

impl Preamble {
    pub(super) fn next(&mut self, cursors: &[TopicCursor], is_bare: bool) -> Option<Encoded> {
        let rest = cursors.get(self.next_gap..).unwrap_or_default();
        if rest.is_empty() {
            return self.greeting.take();
        }
        let topics: Vec<_> =
            rest.iter().take(GAPS_PER_ITEM).map(|cursor| Arc::clone(cursor.topic())).collect();
        self.next_gap += topics.len();
        let last = if topics.len() == rest.len() { self.last } else { self.before };
        Some(encode_gaps(&topics, self.reason, self.before, last, is_bare))
    }

    pub(super) const fn is_done(&self, cursors: &[TopicCursor]) -> bool {
        self.next_gap >= cursors.len() && (self.greeting.is_none() || self.ends)
    }
}

/// Encodes a gap event for each topic. The last event has the id `last`, the others have `before`.
pub(super) fn encode_gaps(
    topics: &[Arc<Topic>],
    reason: GapReason,
    before: Position,
    last: Position,
    is_bare: bool,
) -> Encoded {
    let mut gaps = BytesMut::new();
    for (index, topic) in topics.iter().enumerate() {
        let position = if index + 1 == topics.len() { last } else { before };
        // Each gap has an id: by the HTML standard, an event without one that is the first of its
        // connection resets the client's last event id.
        let topic = topic.name();
        let data = if is_bare { bare_gap(topic, reason) } else { gap_data(topic, reason) };
        let gap = Event::new().event(GAP).id(EventId::from(position)).data(data);
        gaps.extend_from_slice(Encoded::from(gap).as_bytes());
    }
    Encoded::of(gaps.freeze())
}

/// Encodes a CR, which would be decoded as an LF in an event's data.
fn bare_gap(topic: &str, reason: GapReason) -> String {
    const ENCODED: &AsciiSet = &CONTROLS.add(b'%');
    format!("{reason} {}", utf8_percent_encode(topic, ENCODED))
}

/// Decodes the data of a [`bare_gap`].
pub(super) fn decode_gap(data: &str) -> String {
    percent_decode_str(data).decode_utf8_lossy().into_owned()
}

pub(super) fn gap_data(topic: &str, reason: GapReason) -> String {
    // Some clients end a line at U+2028, U+2029 and the control character U+0085.
    let topic = escape_json(topic, |it| it.is_control() || "\"\\\u{2028}\u{2029}".contains(it));
    format!(r#"{{"topic":"{topic}","reason":"{reason}"}}"#)
}

/// Returns the reason for the gaps of a client whose id is `before`.
pub(super) fn reason_of(before: Position) -> GapReason {
    let is = |id: UnknownId| before == id.position();
    match () {
        () if is(UnknownId::Foreign) => GapReason::OtherHub,
        () if is(UnknownId::Malformed) => GapReason::UnknownId,
        () => GapReason::Evicted,
    }
}
