use std::task::{Context, Poll};
use std::{future::Future, pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

/// A delay after events are sent, during which further events accumulate to be sent together.
#[derive(Debug)]
pub(crate) struct FlushWindow {
    length: Duration,
    /// Whether an item was sent since the last delay.
    pub(super) has_sent: bool,
    delayed_until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// The maximum length: one year, which tokio's timers support.
const MAX_LENGTH: Duration = Duration::from_secs(365 * 24 * 3600);

impl FlushWindow {
    pub(crate) fn new(length: Duration) -> Option<Box<Self>> {
        let length = length.min(MAX_LENGTH);
        let window = Self { length, has_sent: false, delayed_until: None, sleep: None };
        (!length.is_zero()).then(|| Box::new(window))
    }

    pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.delayed_until else {
            return Poll::Ready(());
        };
        if Instant::now() < until {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if sleep.deadline() != until {
                sleep.as_mut().reset(until);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        self.delayed_until = None;
        Poll::Ready(())
    }

    pub(crate) fn start_delay(&mut self) {
        if std::mem::take(&mut self.has_sent) {
            self.delayed_until = Some(Instant::now() + self.length);
        }
    }
}
