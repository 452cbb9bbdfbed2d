use std::task::{Context, Poll, ready};

use tokio::task::coop;

/// The bytes that [`UNITS_PER_CHUNK`] units of tokio's cooperative budget pay for.
const CHUNK_SIZE: u32 = 16 * 1024;
/// The units spent for each chunk, of the 128 that a task has each time it runs. Beside a stream
/// that is always ready, 99 of 100 waits of another task on the thread stayed below 0.2 ms (`served
/// hold` in `benches/`).
const UNITS_PER_CHUNK: usize = 8;
/// The least that a frame costs, in bytes. A source's frames may be one byte long.
const MIN_FRAME_COST: u32 = 64;
/// The number of consecutive items without bytes after which a body pauses, even outside of tokio's
/// budget. Within it, the budget of 128 units ends earlier.
const MAX_EMPTY_ITEMS: u16 = 4096;

/// The share of tokio's cooperative budget that a body spends, so that a body that is always ready
/// lets other tasks run.
///
/// Making a frame needs no system call that would spend budget, so a body spends its own, by the
/// byte. The crate's own streams spend it twice, in [`EventBody`](super::EventBody) and in the
/// layer, because each can be used without the other.
#[derive(Debug, Default)]
pub(crate) struct CoopBudget {
    /// Bytes that are paid for but not yet sent.
    credit: u32,
    /// Items without bytes since the last frame or pause.
    empty_items: u16,
}

impl CoopBudget {
    /// Waits until the task has budget left.
    ///
    /// tokio wakes the task after other tasks have run, which calling `wake_by_ref` here would not
    /// ensure.
    pub(crate) fn poll_ready(cx: &mut Context<'_>) -> Poll<()> {
        // Dropping the unit gives it back: only bytes spend budget.
        drop(ready!(coop::poll_proceed(cx)));
        Poll::Ready(())
    }

    /// Spends one unit for an item without bytes, or waits until the task has budget left.
    ///
    /// Also pauses after [`MAX_EMPTY_ITEMS`] items, because a task polled outside of tokio's budget
    /// never runs out of it.
    #[cold]
    #[inline(never)]
    pub(crate) fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.empty_items += 1;
        if self.empty_items >= MAX_EMPTY_ITEMS {
            self.empty_items = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = coop::poll_proceed(cx);
        if polled.is_pending() {
            self.empty_items = 0;
        }
        polled.map(|unit| unit.made_progress())
    }

    /// Spends budget for a frame of `bytes` bytes.
    ///
    /// Call this after making the frame: the channel that the events come from needs budget too.
    pub(crate) fn spend(&mut self, cx: &mut Context<'_>, bytes: usize) {
        self.empty_items = 0;
        // A frame of gigabytes spends the whole budget either way.
        let bytes = u32::try_from(bytes).unwrap_or(1 << 30).clamp(MIN_FRAME_COST, 1 << 30);
        while self.credit < bytes {
            self.credit += CHUNK_SIZE;
            for _ in 0..UNITS_PER_CHUNK {
                if !coop::has_budget_remaining() {
                    break;
                }
                if let Poll::Ready(unit) = coop::poll_proceed(cx) {
                    unit.made_progress();
                }
            }
        }
        self.credit -= bytes;
    }
}
