use super::{
    cursor::TopicRead,
    cursors::Cursors,
    merge_queue::Next,
    subscription::{Read, Subscription},
};
use crate::event::Encoded;

/// The number of reads without a result after which a poll yields.
const READS_PER_POLL: usize = 64;

impl Subscription {
    /// Reads the next item of the preamble, or the next committed events or gaps.
    pub(super) fn read(&mut self) -> Read {
        if self.preamble.is_some()
            && let Some(item) = self.next_of_preamble()
        {
            return Read::Item(item);
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
                _ => match &mut self.cursors {
                    Cursors::One(cursor) if cursor.is_caught_up() => return Read::Nothing,
                    Cursors::One(_) => (0, committed.saturating_add(1)),
                    Cursors::Many(cursors, queue) => {
                        match queue.get_or_insert_default().next(committed, cursors) {
                            Next::Nothing => return Read::Nothing,
                            Next::Yield => return Read::Yield,
                            Next::Cursor { index, bound, .. } => (index, bound),
                        }
                    }
                },
            };
            let Some(cursor) = self.cursors.get_mut(index) else { return Read::Nothing };
            let (item, next) = cursor.read(bound, &self.hub.topics);
            self.requeue(index, next);
            match item {
                // The event is not committed yet, or has just been evicted.
                TopicRead::Nothing => {}
                TopicRead::Batch(batch) => {
                    return Read::Item(Encoded::of(batch.bytes));
                }
                TopicRead::Gap(sequence) => {
                    if let Some(gaps) = self.gaps(index, sequence) {
                        return Read::Item(gaps);
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
        let next = match &mut self.cursors {
            Cursors::One(cursor) => match cursor.next() {
                Some(first) if first < end => Next::Cursor { index: 0, first, bound: end },
                _ => Next::Nothing,
            },
            Cursors::Many(cursors, queue) => queue.get_or_insert_default().next(committed, cursors),
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
        if let Some(next) = next
            && let Cursors::Many(cursors, queue) = &mut self.cursors
        {
            queue.get_or_insert_default().push(index, next, cursors);
        }
    }
}
