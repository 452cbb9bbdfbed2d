use std::sync::Arc;

use super::{
    GapPolicy,
    cursor::TopicCursor,
    cursors::Cursors,
    preamble::{GAPS_PER_ITEM, Preamble, encode_gaps},
    subscription::{Read, Subscription},
};
use crate::{
    event::Encoded,
    history::{Position, UnknownId},
};

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

    /// Returns the position from which a client that has received all gaps up to `sequence`
    /// continues.
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

    /// Starts to send the gaps of a loss that the broker has reported. The caller has read all
    /// events before the loss. No remaining event or gap is below `end`.
    pub(super) fn begin_loss(&mut self, loss: u64, end: u64) -> Read {
        // Losses with nothing between them are reported as one.
        let loss = self.hub.losses.last_before(end).map_or(loss, |last| last.max(loss));
        let received = self.cursors.iter().map(TopicCursor::seen).max().unwrap_or_default();
        self.loss_seen = loss;
        for cursor in self.cursors.iter_mut() {
            cursor.pass_loss(loss);
        }
        let unknown_id = self.unknown_id.take();
        if self.gap_policy != GapPolicy::Ignore {
            // A client that reconnects before the last gap must receive all gaps again. From a
            // process that has lost less, it must receive the events after what it has received.
            let before = self.hub.position(received.min(loss.saturating_sub(1)));
            self.preamble = Some(Box::new(Preamble {
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
