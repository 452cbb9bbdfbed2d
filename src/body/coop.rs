use std::task::{Context, Poll, ready};

use tokio::task::coop;

/// How much of tokio's cooperative budget (128 units for each time a task runs) is spent for so many
/// bytes. With it 99 of 100 waits of another task on the thread stayed below 0.2 ms, beside a stream
/// that is always ready (`served hold` in `benches/`).
const UNITS: usize = 8;
const BYTES: u32 = 16 * 1024;
/// What a frame costs at the least, since somebody's frames may be of one byte.
const BYTES_OF_A_FRAME: u32 = 64;

/// Makes a body that is always ready let others run.
///
/// A frame costs nothing like a system call, so a body must spend budget of its own, by the byte. Our
/// own streams pay twice, when events become frames and when frames pass the layer, for either can be
/// used without the other.
#[derive(Debug, Default)]
pub(crate) struct CoopBudget {
    /// Bytes that are paid for but not sent.
    credit: u32,
    /// Items without bytes since the last frame or pause.
    empty: u16,
}

/// After this many items without bytes a body pauses, wherever it is polled. Within tokio's budget
/// of 128 units it pauses earlier.
const MOST_EMPTY: u16 = 4096;

impl CoopBudget {
    /// Pending while the task has no budget left. The wake-up comes after the others have run,
    /// which a `wake_by_ref` of one's own does not achieve.
    pub(crate) fn poll_ready(cx: &mut Context<'_>) -> Poll<()> {
        // Dropped, it gives the unit back: only bytes are paid for.
        drop(ready!(coop::poll_proceed(cx)));
        Poll::Ready(())
    }

    /// Spends one unit for an item without bytes. Pending while the task has no budget left.
    ///
    /// A task that is polled outside of tokio's budget has no end of it, so items are counted too.
    #[cold]
    #[inline(never)]
    pub(crate) fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.empty += 1;
        if self.empty >= MOST_EMPTY {
            self.empty = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = coop::poll_proceed(cx);
        if polled.is_pending() {
            self.empty = 0;
        }
        polled.map(|unit| unit.made_progress())
    }

    /// Spends budget for a frame. It comes after the frame was made: before, it would take the
    /// budget from the channel that the events come from.
    pub(crate) fn spend(&mut self, cx: &mut Context<'_>, bytes: usize) {
        self.empty = 0;
        // A frame of gigabytes spends the whole budget either way.
        let bytes = u32::try_from(bytes).unwrap_or(1 << 30).clamp(BYTES_OF_A_FRAME, 1 << 30);
        while self.credit < bytes {
            self.credit += BYTES;
            for _ in 0..UNITS {
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
