use std::sync::Arc;

use super::{
    GapPolicy, Subscription,
    cursor::{TopicCursor, TopicRead},
    gap,
    merge_queue::Next,
    preamble::{GAPS_PER_ITEM, Preamble},
};
use crate::{
    event::Encoded,
    history::{DeferredDrops, UnknownId},
};

/// The number of reads without a result after which a poll yields.
const READS_PER_POLL: usize = 64;

/// The result of reading from the topics of a subscription.
pub(crate) enum Read {
    Nothing,
    Events(Encoded),
    /// A loss that the broker reported. Its gaps are now the subscription's preamble, unless gaps
    /// are ignored.
    Loss,
    /// There may be more to read, but the subscription has to yield to other tasks.
    Yield,
}

impl Subscription {
    /// Reads the next item of the preamble, or the next committed events or gaps.
    pub(crate) fn read(&mut self, drops: &mut DeferredDrops) -> Read {
        if self.preamble.is_some()
            && let Some(item) = self.next_of_preamble()
        {
            return Read::Events(item);
        }
        for _ in 0..READS_PER_POLL {
            // No event with a lower sequence number can be committed after this.
            let committed = self.hub.committed();
            let (index, bound) = match self.unreported_loss() {
                // A later loss is not committed yet.
                Some(loss) if loss <= committed => match self.next_before(loss, committed) {
                    Ok(next) => next,
                    Err(read) => return read,
                },
                _ => match self.cursors.as_slice() {
                    [cursor] if cursor.is_caught_up() => return Read::Nothing,
                    [_] => (0, committed.saturating_add(1)),
                    _ => match self.merge_queue.next(committed, &mut self.cursors) {
                        Next::Nothing => return Read::Nothing,
                        Next::Yield => return Read::Yield,
                        Next::Cursor { index, bound, .. } => (index, bound),
                    },
                },
            };
            let Some(cursor) = self.cursors.get_mut(index) else { return Read::Nothing };
            let (item, next) = cursor.read(bound, &self.hub.topics, drops);
            self.requeue(index, next);
            match item {
                TopicRead::Nothing if self.hub.fault.sleeps_on_uncommitted() => {
                    return Read::Nothing;
                }
                // The event is not committed yet, or has just been evicted.
                TopicRead::Nothing => {}
                TopicRead::Batch(batch) => return Read::Events(Encoded::of(batch.bytes)),
                TopicRead::Gap(sequence) => {
                    if let Some(gaps) = self.gaps(index, sequence) {
                        return Read::Events(gaps);
                    }
                }
            }
        }
        Read::Yield
    }

    /// Returns the first loss that this subscription has not reported.
    #[inline]
    pub(crate) fn unreported_loss(&self) -> Option<u64> {
        self.hub.losses.first_after(self.loss_seen)
    }

    /// Returns the cursor with the next event or gap before a loss, and its bound. If there is
    /// none, begins to report the loss.
    #[cold]
    fn next_before(&mut self, loss: u64, committed: u64) -> Result<(usize, u64), Read> {
        let end = committed.saturating_add(1);
        let next = match self.cursors.as_slice() {
            [cursor] => match cursor.next() {
                Some(first) if first < end => Next::Cursor { index: 0, first, bound: end },
                _ => Next::Nothing,
            },
            _ => self.merge_queue.next(committed, &mut self.cursors),
        };
        match next {
            Next::Yield => Err(Read::Yield),
            Next::Cursor { index, first, bound } if first < loss => Ok((index, bound.min(loss))),
            Next::Cursor { index, first, .. } => {
                self.requeue(index, Some(first));
                Err(self.begin_loss(loss, first))
            }
            Next::Nothing => Err(self.begin_loss(loss, end)),
        }
    }

    /// Begins to report a loss that the broker reported. The caller has read all events before the
    /// loss. No remaining event or gap is below `end`.
    fn begin_loss(&mut self, loss: u64, end: u64) -> Read {
        // Losses with nothing between them are reported as one.
        let loss = self.hub.losses.last_before(end).map_or(loss, |last| last.max(loss));
        self.loss_seen = loss;
        for cursor in &mut self.cursors {
            cursor.pass_loss(loss);
        }
        let unknown_id = self.unknown_id.take();
        if self.gap_policy != GapPolicy::Ignore {
            let before = self.hub.position(loss.saturating_sub(1));
            self.preamble = Some(Box::new(Preamble {
                // A client that reconnects before the last gap must receive all gaps again.
                before: unknown_id.map_or(before, UnknownId::position),
                last: self.hub.position(loss),
                next_gap: 0,
                greeting: None,
                ends: self.gap_policy == GapPolicy::ReportAndEnd,
            }));
        }
        Read::Loss
    }

    #[inline]
    fn requeue(&mut self, index: usize, next: Option<u64>) {
        // A subscription to one topic does not use the queue.
        if let Some(next) = next
            && self.cursors.len() > 1
        {
            self.merge_queue.push(index, next, &mut self.cursors);
        }
    }

    /// Encodes a gap that was read from one topic, and the gaps of other topics at the same
    /// sequence number, up to the limit of one item.
    fn gaps(&mut self, index: usize, sequence: u64) -> Option<Encoded> {
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
            return Some(gap::encode_gaps(&topics, before, before));
        }
        self.unknown_id = None;
        self.ended = self.gap_policy == GapPolicy::ReportAndEnd;
        Some(gap::encode_gaps(&topics, before, self.hub.position(sequence)))
    }

    /// Consumes the gaps at one sequence number, up to the limit of one item. Returns their topics,
    /// and whether there are more.
    fn topics_with_gap(&mut self, index: usize, sequence: u64) -> (Vec<Arc<str>>, bool) {
        let name = |cursor: &TopicCursor| Arc::clone(cursor.topic().name());
        let mut topics: Vec<_> = self.cursors.get(index).map(name).into_iter().collect();
        let mut without_gap = Vec::new();
        let mut has_more = false;
        while let Some(index) = self.merge_queue.pop_at(sequence, &mut self.cursors) {
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
}
