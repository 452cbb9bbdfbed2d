use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    runtime::Handle,
    task::coop,
    time::{Instant, Sleep, sleep_until},
};

use crate::options::IdleInterval;

pin_project! {
    /// Tells when a stream has been silent for an interval.
    ///
    /// A stream that is busy costs it nothing: the clock is read when the stream falls silent, and
    /// a timer armed for an earlier idle is armed again when it fires.
    // In this order in memory: the timer is large, and rarely looked at.
    #[derive(Debug, Default)]
    #[repr(C)]
    pub(crate) struct IdleTimer {
        // `None` while bytes go out.
        since: Option<Instant>,
        // What the timer is set to. The timer itself need not be looked at before.
        armed_until: Option<Instant>,
        // The task that the timer wakes.
        sleeper: Option<Waker>,
        timeless: bool,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl IdleTimer {
    /// Bytes went out.
    #[inline]
    pub(crate) fn reset(self: Pin<&mut Self>) {
        *self.project().since = None;
    }

    /// Ready once the interval has passed since the first call after bytes went out, and every
    /// interval again. Outside a tokio runtime never.
    #[inline]
    pub(crate) fn poll_interval(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        interval: IdleInterval,
    ) -> Poll<()> {
        let this = self.as_mut().project();
        if *this.timeless {
            return Poll::Pending;
        }
        let is_armed = this.sleeper.as_ref().is_some_and(|sleeper| sleeper.will_wake(cx.waker()));
        match *this.since {
            None => {
                let now = Instant::now();
                let is_armed = is_armed && this.armed_until.is_some_and(|until| now < until);
                *this.since = Some(now);
                if is_armed {
                    // Whatever it was armed for: it is looked at when it fires.
                    return Poll::Pending;
                }
                self.poll_timer(cx, now, interval)
            }
            Some(since) => {
                if is_armed
                    && this.sleep.as_ref().as_pin_ref().is_some_and(|sleep| !sleep.is_elapsed())
                {
                    return Poll::Pending;
                }
                self.poll_timer(cx, since, interval)
            }
        }
    }

    fn poll_timer(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        since: Instant,
        interval: IdleInterval,
    ) -> Poll<()> {
        let mut this = self.project();
        let due = round_up(interval.grid, since, interval.length);
        let Some(due) = due.filter(|due| is_within_reach(*due)) else {
            return Poll::Pending;
        };
        if this.sleep.is_none() {
            if Handle::try_current().is_err() {
                warn!("no heartbeats: the event stream is not polled within a tokio runtime");
                *this.timeless = true;
                return Poll::Pending;
            }
            this.sleep.set(Some(sleep_until(due)));
        }
        let Some(mut sleep) = this.sleep.as_pin_mut() else {
            return Poll::Pending;
        };
        loop {
            // A source that finds nothing may have spent the task's budget on looking, at every
            // turn: without budget a timer would say nothing either.
            if pin!(coop::unconstrained(sleep.as_mut())).poll(cx).is_pending() {
                *this.sleeper = Some(cx.waker().clone());
                *this.armed_until = Some(sleep.deadline());
                return Poll::Pending;
            }
            if sleep.deadline() >= due {
                *this.since = None;
                return Poll::Ready(());
            }
            // It was armed for an earlier idle, which was broken.
            sleep.as_mut().reset(due);
        }
    }
}

/// Can a timer be set to this time? tokio adds up to a millisecond, and the clock has an end.
pub(super) fn is_within_reach(deadline: Instant) -> bool {
    deadline.checked_add(Duration::from_millis(1)).is_some()
}

/// Deadlines fall on a grid of this many lines per interval.
const GRID_LINES: u32 = 16;

/// `since + interval`, rounded up to the grid; `None` if that is beyond what an `Instant` can tell.
fn round_up(grid: Instant, since: Instant, interval: Duration) -> Option<Instant> {
    let due = since.checked_add(interval)?;
    let step = (interval / GRID_LINES).as_nanos().max(1);
    let past_line = due.saturating_duration_since(grid).as_nanos().checked_rem(step)?;
    if past_line == 0 {
        return Some(due);
    }
    due.checked_add(Duration::from_nanos(u64::try_from(step - past_line).ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::round_up;

    #[test]
    fn deadlines_fall_on_the_grid_and_are_at_most_a_sixteenth_late() {
        let grid = Instant::now();
        let interval = Duration::from_secs(16);
        for (since, due) in
            [(0, 16_000), (1, 17_000), (999, 17_000), (1000, 17_000), (1001, 18_000)]
        {
            let since = grid + Duration::from_millis(since);
            assert_eq!(round_up(grid, since, interval), Some(grid + Duration::from_millis(due)));
        }
    }

    #[test]
    fn a_grid_in_the_future_rounds_nothing() {
        let now = Instant::now();
        let interval = Duration::from_secs(16);
        assert_eq!(round_up(now + Duration::from_secs(60), now, interval), Some(now + interval));
    }

    #[test]
    fn intervals_of_any_length_are_no_panic() {
        let now = Instant::now();
        assert_eq!(round_up(now, now, Duration::MAX), None);
        assert!(round_up(now, now, Duration::from_nanos(1)).is_none_or(|due| due >= now));
        assert!(round_up(now, now, Duration::from_secs(u64::MAX / 4)).is_none_or(|due| due >= now));
    }
}
