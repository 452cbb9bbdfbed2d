use super::{Subscription, cursor::TopicRead, merge_queue::Next};
use crate::{event::Encoded, history::DeferredDrops};

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

    #[inline]
    pub(super) fn requeue(&mut self, index: usize, next: Option<u64>) {
        // A subscription to one topic does not use the queue.
        if let Some(next) = next
            && self.cursors.len() > 1
        {
            self.merge_queue.push(index, next, &mut self.cursors);
        }
    }
}
