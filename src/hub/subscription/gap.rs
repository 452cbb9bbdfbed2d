use std::sync::Arc;

use bytes::BytesMut;

use super::{
    Subscription,
    cursor::TopicCursor,
    cursors::Cursors,
    preamble::{GAPS_PER_ITEM, Preamble},
    read::Read,
};
use crate::{
    event::{Encoded, Event, EventId},
    history::{Position, UnknownId},
};

/// The action of a subscription whose client may have missed events because they were evicted, or
/// because a [broker](crate::hub::Hub::connect) lost them.
///
/// A gap is reported as an event with the name `gap`, whose data is the name of the topic. Its id
/// is the position after which the topic continues. If events of the topic were evicted, this is
/// the id of the newest of them. A client that resumes after the gap does not receive it again,
/// with one exception in [`resume`](super::Subscribe::resume).
///
/// A broker does not know which events it has lost, so each topic of the subscription gets a gap.
/// Kept events from before the loss are sent first.
///
/// After a loss or a malformed id, several topics have a gap at the same position. Their gaps are
/// sent one after another, up to 256 in one item, and only the last one has the id of that
/// position, or the greeting that follows. A client that disconnects before the last one receives all of them again.
///
/// - Do not publish events with the name `gap`, because a client cannot distinguish them from gaps.
/// - A gap reveals the name of its topic to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapPolicy {
    /// Reports the gap and continues. The client can then load the current state.
    #[default]
    Report,
    /// Reports the gap, together with those of other topics at the same position, and ends the
    /// stream.
    ///
    /// If a topic evicts events faster than its clients reconnect, they receive mostly gaps.
    ReportAndEnd,
    /// Continues without a report. In topics with [`Retention::latest`](crate::hub::Retention::latest),
    /// replaced events are no gap anyway.
    Ignore,
}

/// Making gaps.
impl Subscription {
    /// Encodes a gap that was read from one topic, and the gaps of other topics at the same
    /// sequence number, up to the limit of one item.
    pub(super) fn gaps(&mut self, index: usize, sequence: u64) -> Option<Encoded> {
        let (topics, has_more) = self.topics_with_gap(index, sequence);
        if self.gap_policy == GapPolicy::Ignore {
            return None;
        }
        self.hub.count_gaps(topics.len());
        // A client that reconnects before the last gap must receive all gaps again. Until then, the
        // gaps carry an id that this hub treats like the one that the client sent.
        let before = match self.unknown_id {
            Some(unknown_id) => unknown_id.position(),
            None => self.hub.position(sequence.saturating_sub(1)),
        };
        if has_more {
            return Some(encode_gaps(&topics, before, before));
        }
        self.unknown_id = None;
        self.ended = self.gap_policy == GapPolicy::ReportAndEnd;
        Some(encode_gaps(&topics, before, self.position_after_gaps(sequence)))
    }

    /// Returns the position from which a client continues that has received all gaps up to `sequence`.
    fn position_after_gaps(&self, sequence: u64) -> Position {
        if self.gap_policy == GapPolicy::ReportAndEnd && self.begins_anew {
            return UnknownId::Malformed.position();
        }
        self.hub.position(sequence)
    }

    /// Consumes the gaps at one sequence number, up to the limit of one item. Returns their topics,
    /// and whether there are more.
    fn topics_with_gap(&mut self, index: usize, sequence: u64) -> (Vec<Arc<str>>, bool) {
        let name = |cursor: &TopicCursor| Arc::clone(cursor.topic().name());
        let mut topics: Vec<_> = self.cursors.get(index).map(name).into_iter().collect();
        let mut without_gap = Vec::new();
        let mut has_more = false;
        while let Some(index) = self.pop_at(sequence) {
            let Some(cursor) = self.cursors.get_mut(index) else { break };
            if !cursor.has_gap_at(sequence) {
                without_gap.push(index);
                continue;
            }
            has_more = topics.len() >= GAPS_PER_ITEM;
            if has_more {
                self.requeue(index, Some(sequence));
                break;
            }
            topics.push(name(cursor));
            cursor.seek(sequence, false);
            let next = cursor.next();
            self.requeue(index, next);
        }
        for index in without_gap {
            let next = self.cursors.get(index).and_then(TopicCursor::next);
            self.requeue(index, next);
        }
        (topics, has_more)
    }

    /// Removes and returns the next cursor, if its next item has this sequence number.
    fn pop_at(&mut self, sequence: u64) -> Option<usize> {
        let Cursors::Many(cursors, queue) = &mut self.cursors else { return None };
        queue.as_mut()?.pop_at(sequence, cursors)
    }

    /// Begins to report a loss that the broker reported. The caller has read all events before the
    /// loss. No remaining event or gap is below `end`.
    pub(super) fn begin_loss(&mut self, loss: u64, end: u64) -> Read {
        // Losses with nothing between them are reported as one.
        let loss = self.hub.losses.last_before(end).map_or(loss, |last| last.max(loss));
        self.loss_seen = loss;
        for cursor in self.cursors.iter_mut() {
            cursor.pass_loss(loss);
        }
        let unknown_id = self.unknown_id.take();
        if self.gap_policy != GapPolicy::Ignore {
            let before = self.hub.position(loss.saturating_sub(1));
            self.preamble = Some(Box::new(Preamble {
                // A client that reconnects before the last gap must receive all gaps again.
                before: unknown_id.map_or(before, UnknownId::position),
                last: self.position_after_gaps(loss),
                next_gap: 0,
                greeting: None,
                ends: self.gap_policy == GapPolicy::ReportAndEnd,
            }));
        }
        Read::Loss
    }
}

/// Encodes a gap event for each topic. The final one has the id `last`, the rest have `before`.
pub(crate) fn encode_gaps(topics: &[Arc<str>], before: Position, last: Position) -> Encoded {
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
