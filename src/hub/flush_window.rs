use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

/// Holds events back for a while after others were given, so that they are given together.
#[derive(Debug)]
pub(super) struct FlushWindow {
    length: Duration,
    /// Events were given since the window was last open.
    given: bool,
    closed_until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// A year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl FlushWindow {
    /// None of no length.
    pub(super) fn new(length: Duration) -> Option<Box<Self>> {
        // tokio's timers do not reach much farther.
        let length = length.min(LONGEST);
        let window = Self { length, given: false, closed_until: None, sleep: None };
        (!length.is_zero()).then(|| Box::new(window))
    }

    /// Pending while events are held back.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.closed_until else {
            return Poll::Ready(());
        };
        if Instant::now() < until {
            let sleep = match &mut self.sleep {
                Some(sleep) => {
                    if sleep.deadline() != until {
                        sleep.as_mut().reset(until);
                    }
                    sleep
                }
                None if Handle::try_current().is_err() => {
                    warn!("no flush window: the subscription is not polled within a tokio runtime");
                    // It does not close again.
                    self.length = Duration::ZERO;
                    self.closed_until = None;
                    return Poll::Ready(());
                }
                None => self.sleep.insert(Box::pin(sleep_until(until))),
            };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        self.closed_until = None;
        Poll::Ready(())
    }

    /// Events are given.
    pub(super) const fn give(&mut self) {
        self.given = true;
    }

    /// All that there was has been given.
    pub(super) fn exhaust(&mut self) {
        if std::mem::take(&mut self.given) && !self.length.is_zero() {
            self.closed_until = Some(Instant::now() + self.length);
        }
    }
}
