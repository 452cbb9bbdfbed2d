use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use super::idle_timer::is_within_reach;
use crate::BoxError;

/// The limit of the time in which a body sends no bytes.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Duration,
    /// The time at which the limit is exceeded; `None` while bytes arrive.
    due: Option<Instant>,
    /// Set again only when it fires, so that bytes cost no timer.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, due: None, sleep: None }
    }

    /// Ends the silence, because bytes have arrived.
    pub(crate) const fn end(&mut self) {
        self.due = None;
    }

    /// Waits until the limit is exceeded, and returns the error for it. The silence begins at the
    /// first call after bytes have [arrived](Self::end).
    pub(crate) fn poll_exceeded(&mut self, cx: &mut Context<'_>) -> Poll<BoxError> {
        let limit = self.limit;
        let due = match self.due {
            Some(due) => due,
            None => match Instant::now().checked_add(limit).filter(|due| is_within_reach(*due)) {
                Some(due) => *self.due.insert(due),
                None => return Poll::Pending,
            },
        };
        let sleep = match &mut self.sleep {
            Some(sleep) => sleep,
            None if Handle::try_current().is_err() => {
                warn!("no limit of silence: the body is not polled within a tokio runtime");
                // Beyond the reach of timers.
                (self.limit, self.due) = (Duration::MAX, None);
                return Poll::Pending;
            }
            None => self.sleep.insert(Box::pin(sleep_until(due))),
        };
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= due {
                return Poll::Ready(Box::new(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("event stream sent nothing for {limit:?}"),
                )));
            }
            sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}
