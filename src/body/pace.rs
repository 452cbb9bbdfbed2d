use std::task::{Context, Poll, ready};

use tokio::task::coop;

/// How much of tokio's cooperative budget (128 units for each time a task runs) is spent for so many
/// bytes. With it 99 of 100 waits of another task on the thread stayed below 0.2 ms, beside a stream
/// that is always ready (`served hold` in `benches/`).
const UNITS: usize = 8;
const BYTES: usize = 16 * 1024;
/// What a frame costs at the least, since somebody's frames may be of one byte.
const BYTES_OF_A_FRAME: usize = 64;

/// Makes a body that is always ready let others run.
///
/// A frame costs nothing like a system call, so a body must spend budget of its own, by the byte. Our
/// own streams pay twice, when events become frames and when frames pass the layer, for either can be
/// used without the other.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Bytes that are paid for but not sent.
    credit: usize,
}

impl Pace {
    /// Pending while the task has no budget left. The wake-up comes after the others have run,
    /// which a `wake_by_ref` of one's own does not achieve.
    pub(crate) fn poll_ready(cx: &mut Context<'_>) -> Poll<()> {
        // Dropped, it gives the unit back: only bytes are paid for.
        drop(ready!(coop::poll_proceed(cx)));
        Poll::Ready(())
    }

    /// Pending while the task has no budget left, which otherwise is one unit less.
    pub(crate) fn poll_unit(cx: &mut Context<'_>) -> Poll<()> {
        ready!(coop::poll_proceed(cx)).made_progress();
        Poll::Ready(())
    }

    /// Spends budget for a frame. It comes after the frame was made: before, it would take the
    /// budget from the channel that the events come from.
    pub(crate) fn spend(&mut self, cx: &mut Context<'_>, bytes: usize) {
        let bytes = bytes.max(BYTES_OF_A_FRAME);
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
