use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::{future::Future, time::Duration};

use pin_project_lite::pin_project;
use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::options::IdleInterval;

pin_project! {
    /// A timer that fires when a stream has been idle for an interval. It reads the clock only when
    /// a poll finds the stream idle, so it costs a busy stream little.
    // `repr(C)` keeps `sleep` behind the fields that each event needs, because `sleep` is large and
    // rarely polled.
    #[derive(Debug, Default)]
    #[repr(C)]
    pub(crate) struct IdleTimer {
        // `None` until the timer is first set.
        alarm: Option<Alarm>,
        // When the current idle period began; `None` if none has begun.
        idle_since: Option<Instant>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

/// When the timer fires, and the task that it then wakes.
#[derive(Debug)]
struct Alarm {
    fires_at: Instant,
    waker: Waker,
}

impl IdleTimer {
    #[inline]
    pub(crate) fn reset(self: Pin<&mut Self>) {
        *self.project().idle_since = None;
    }

    /// Waits until the stream has been idle for the interval. An idle period begins at the first
    /// call of this method or [`is_running`](Self::is_running) after a [`reset`](Self::reset) or
    /// after the end of the previous period.
    #[inline]
    pub(crate) fn poll_interval(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        interval: IdleInterval,
    ) -> Poll<()> {
        if self.as_mut().is_running(cx) {
            return Poll::Pending;
        }
        self.poll_timer(cx, interval)
    }

    /// Begins an idle period if none has begun. Returns whether the timer is set for this task and
    /// isn't due yet.
    // `sleep` is not polled here: polling it would load two more cache lines for each event.
    // `sleep` never fires before `fires_at`, because tokio rounds up. If `sleep` was set in an
    // earlier idle period and fires in this one, `poll_timer` sets it again.
    #[inline]
    pub(crate) fn is_running(self: Pin<&mut Self>, cx: &Context<'_>) -> bool {
        let (now, wakes) = (Instant::now(), self.wakes(cx));
        let this = self.project();
        this.idle_since.get_or_insert(now);
        wakes && this.alarm.as_ref().is_some_and(|alarm| now < alarm.fires_at)
    }

    /// Returns whether the timer was set for this task.
    #[inline]
    pub(crate) fn wakes(&self, cx: &Context<'_>) -> bool {
        self.alarm.as_ref().is_some_and(|alarm| alarm.waker.will_wake(cx.waker()))
    }

    fn poll_timer(self: Pin<&mut Self>, cx: &mut Context<'_>, interval: IdleInterval) -> Poll<()> {
        let mut this = self.project();
        let since = *this.idle_since.get_or_insert_with(Instant::now);
        let due = match interval.grid {
            Some(grid) => round_up(grid, since, interval.length),
            None => since.checked_add(interval.length),
        };
        let Some(due) = due.filter(|due| is_within_reach(*due)) else {
            return Poll::Pending;
        };
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep_until(due)));
        }
        let Some(mut sleep) = this.sleep.as_pin_mut() else {
            return Poll::Pending;
        };
        loop {
            // An idle source may spend the task's whole budget each time it is polled, and a timer
            // is never ready without budget.
            if pin!(coop::unconstrained(sleep.as_mut())).poll(cx).is_pending() {
                let (fires_at, waker) = (sleep.deadline(), cx.waker().clone());
                *this.alarm = Some(Alarm { fires_at, waker });
                return Poll::Pending;
            }
            if sleep.deadline() >= due {
                *this.idle_since = None;
                return Poll::Ready(());
            }
            // The timer was set for an earlier idle period.
            sleep.as_mut().reset(due);
        }
    }
}

/// Returns whether a timer can be set to `deadline`: tokio's extra millisecond must not overflow.
pub(crate) fn is_within_reach(deadline: Instant) -> bool {
    deadline.checked_add(Duration::from_millis(1)).is_some()
}

/// The number of grid points per interval. Timers fire on the grid, so that streams share wake-ups.
const GRID_POINTS: u32 = 16;

fn round_up(grid: Instant, since: Instant, interval: Duration) -> Option<Instant> {
    let due = since.checked_add(interval)?;
    let step = (interval / GRID_POINTS).as_nanos().max(1);
    let past_point = due.saturating_duration_since(grid).as_nanos().checked_rem(step)?;
    if past_point == 0 {
        return Some(due);
    }
    due.checked_add(Duration::from_nanos(u64::try_from(step - past_point).ok()?))
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
    fn grid_in_the_future_rounds_no_deadline() {
        let now = Instant::now();
        let interval = Duration::from_secs(16);
        assert_eq!(round_up(now + Duration::from_secs(60), now, interval), Some(now + interval));
    }

    #[test]
    fn intervals_of_any_length_do_not_panic() {
        let now = Instant::now();
        assert_eq!(round_up(now, now, Duration::MAX), None);
        assert!(round_up(now, now, Duration::from_nanos(1)).is_none_or(|due| due >= now));
        assert!(round_up(now, now, Duration::from_secs(u64::MAX / 4)).is_none_or(|due| due >= now));
    }
}
