use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::{future::Future, time::Duration};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, Sleep, sleep};
use tokio::{runtime::Handle, task::coop};

use crate::shutdown::ShutdownWait;

/// An answer that stays open although it's complete, because some clients ask again at once.
pub(crate) struct Hold {
    timer: Pin<Box<Sleep>>,
    shutdown: Option<ShutdownWait>,
    _place: Option<SemaphorePermit<'static>>,
}

/// How long an answer without an event is held.
pub(crate) const BRIEFLY: Duration = Duration::from_secs(1);
/// The maximum number of answers that the process holds [briefly](Hold::briefly) at a time. Each
/// keeps a connection and its memory, so further answers end at once.
const MAX_HELD: usize = 10_000;
static PLACES: Semaphore = Semaphore::const_new(MAX_HELD);

impl Hold {
    /// Begins a hold for `time`, but at most until the shutdown.
    pub(super) fn new(time: Duration, shutdown: Option<ShutdownWait>) -> Self {
        Self { timer: Box::pin(sleep(time)), shutdown, _place: None }
    }

    /// Begins a hold as [`new`](Self::new) does, unless the process holds too many answers already.
    /// A shutdown that has begun before doesn't end the hold.
    pub(crate) fn briefly(time: Duration, shutdown: Option<ShutdownWait>) -> Option<Self> {
        // Without a runtime, for example in a test that polls by hand, there is no timer.
        Handle::try_current().ok()?;
        let place = PLACES.try_acquire().ok()?;
        let shutdown = shutdown.filter(|shutdown| !shutdown.has_begun());
        Some(Self { _place: Some(place), ..Self::new(time, shutdown) })
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.shutdown.as_mut().is_some_and(|shutdown| shutdown.poll_begun(cx.waker()))
            || self.timer.deadline() <= Instant::now()
        {
            return Poll::Ready(());
        }
        pin!(coop::unconstrained(&mut self.timer)).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_with;

    use super::{BRIEFLY, Hold, MAX_HELD};

    #[tokio::test(start_paused = true)]
    async fn only_so_many_answers_are_held_at_a_time() {
        let mut held: Vec<_> = repeat_with(|| Hold::briefly(BRIEFLY, None)).take(12_000).collect();
        assert_eq!(held.iter().flatten().count(), MAX_HELD);
        assert!(held.iter().skip(MAX_HELD).all(Option::is_none));
        held.truncate(MAX_HELD - 1);
        assert!(Hold::briefly(BRIEFLY, None).is_some());
    }
}
