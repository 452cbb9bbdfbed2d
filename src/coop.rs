//! The share of tokio's cooperative budget that bodies spend, so a body that is always ready lets
//! other tasks run.

use std::task::{Context, Poll, ready};

use tokio::task::coop;

/// The number of bytes for which a body spends one of a task's 128 units. Each frame costs one more
/// unit.
const BYTES_PER_UNIT: usize = 1024;
/// The number of consecutive items without bytes after which a body pauses if tokio sets no budget.
/// With a budget, the 128 units are spent earlier.
const MAX_EMPTY_ITEMS: u16 = 4096;

/// A body's spending of tokio's budget, because a source without tokio's channels, timers or IO
/// spends none.
#[derive(Debug, Default)]
pub(crate) struct CoopBudget {
    /// The number of items without bytes since the last frame or pause.
    empty_items: u16,
}

impl CoopBudget {
    /// Waits until the task has budget left.
    #[inline]
    pub(crate) fn poll_ready(cx: &mut Context<'_>) -> Poll<()> {
        if !coop::has_budget_remaining() {
            // Dropping the unit gives it back.
            drop(ready!(coop::poll_proceed(cx)));
        }
        Poll::Ready(())
    }

    /// Spends one unit for an item without bytes, or waits until the task has budget left. If tokio
    /// sets no budget, pauses after [`MAX_EMPTY_ITEMS`] items.
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

    /// Spends budget for a frame that was just made. Spending it earlier could leave none for the
    /// channel that the events come from.
    #[inline]
    pub(crate) fn spend(&mut self, cx: &mut Context<'_>, bytes: usize) {
        self.empty_items = 0;
        for _ in 0..=bytes / BYTES_PER_UNIT {
            if !coop::has_budget_remaining() {
                break;
            }
            if let Poll::Ready(unit) = coop::poll_proceed(cx) {
                unit.made_progress();
            }
        }
    }
}
