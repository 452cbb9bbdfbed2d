//! The share of tokio's cooperative budget that bodies and streams spend, so that one that is always
//! ready lets other tasks run.

use std::{
    cell::Cell,
    task::{Context, Poll, ready},
};

use tokio::task::coop::{self, RestoreOnPending};

/// The number of bytes for which a body spends [`UNITS_PER_CHUNK`] units of tokio's cooperative
/// budget.
const CHUNK_SIZE: u32 = 8 * 1024;
/// The units that a body spends for each chunk. A task has 128 units each time it runs, which are
/// enough for 128 KiB. With this value, a stream that was always ready delayed other tasks of its
/// thread by less than 0.2 ms in 99 of 100 cases (`served hold` in `benches/`).
const UNITS_PER_CHUNK: usize = 8;
/// The minimum cost of a frame, in bytes. A source's frames may be one byte long.
const MIN_FRAME_COST: u32 = 64;
/// The number of consecutive items without bytes after which a body pauses, even outside of tokio's
/// budget. Within the budget, its 128 units are spent earlier.
const MAX_EMPTY_ITEMS: u16 = 4096;

thread_local! {
    /// The cost of the last frame for which a body has paid, until a body waits for budget.
    static PAID: Cell<u32> = const { Cell::new(0) };
    /// Whether the next body or stream that is polled need not wait for budget, because the body
    /// around it has.
    static IS_COVERED: Cell<bool> = const { Cell::new(false) };
}

/// Calls `poll`, which polls a source for a body that has waited for budget and pays for the bytes.
///
/// The first poll within `poll` waits for no budget. Further ones do, because a compressor may read
/// megabytes before it returns a frame.
#[inline]
pub(crate) fn covered<T>(poll: impl FnOnce() -> T) -> T {
    struct Covered;

    impl Drop for Covered {
        #[inline]
        fn drop(&mut self) {
            IS_COVERED.set(false);
        }
    }

    IS_COVERED.set(true);
    let _covered = Covered;
    poll()
}

/// The unit of budget for one item of a stream. Dropping it gives it back.
///
/// A stream needs one because nothing else may pay for its items: a task can poll it without a body.
#[must_use]
pub(crate) struct ItemUnit(Option<RestoreOnPending>);

impl ItemUnit {
    /// Waits until the task has budget left for an item.
    #[inline]
    pub(crate) fn poll(cx: &mut Context<'_>) -> Poll<Self> {
        if IS_COVERED.replace(false) {
            return Poll::Ready(Self(None));
        }
        coop::poll_proceed(cx).map(|unit| Self(Some(unit)))
    }

    /// Spends the unit, because the stream returns an item.
    #[inline]
    pub(crate) fn spend(self) {
        if let Some(unit) = self.0 {
            unit.made_progress();
        }
    }
}

/// The share of tokio's cooperative budget that a body spends.
///
/// Making a frame needs no system call that would spend budget, so a body spends budget itself, per
/// byte. Each byte is paid for once: by an [`EventBody`](crate::EventBody), and by what polls it,
/// such as the layer, only as far as the `EventBody` has not.
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
    #[inline]
    pub(crate) fn poll_ready(cx: &mut Context<'_>) -> Poll<()> {
        if !IS_COVERED.replace(false) && !coop::has_budget_remaining() {
            // Dropping the unit gives it back: only bytes spend budget.
            drop(ready!(coop::poll_proceed(cx)));
        }
        PAID.set(0);
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

    /// Spends budget for a frame of `bytes` bytes, unless the body that made it has done so.
    ///
    /// Call it after making the frame, because the channel from which the events come needs budget
    /// too.
    pub(crate) fn spend(&mut self, cx: &mut Context<'_>, bytes: usize) {
        self.empty_items = 0;
        // A frame of gigabytes spends the whole budget either way.
        let cost = u32::try_from(bytes).unwrap_or(1 << 30).clamp(MIN_FRAME_COST, 1 << 30);
        let paid = PAID.get();
        PAID.set(paid.max(cost));
        let unpaid = cost.saturating_sub(paid);
        while self.credit < unpaid {
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
        self.credit -= unpaid;
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use tokio::task::coop;

    use super::{CoopBudget, ItemUnit, covered};

    #[tokio::test]
    async fn only_the_first_poll_that_a_body_covers_needs_no_budget() {
        poll_fn(|cx| {
            while let Poll::Ready(unit) = coop::poll_proceed(cx) {
                unit.made_progress();
            }
            let (body, item) =
                covered(|| (CoopBudget::poll_ready(cx).is_ready(), ItemUnit::poll(cx).is_ready()));
            assert_eq!((body, item), (true, false));
            let (item, body) =
                covered(|| (ItemUnit::poll(cx).is_ready(), CoopBudget::poll_ready(cx).is_ready()));
            assert_eq!((item, body), (true, false));
            // A source that takes no part in the budget leaves nothing behind.
            covered(|| {});
            assert!(CoopBudget::poll_ready(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
}
