use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::IdleTimer;
use crate::{BoxError, options::IdleInterval};

/// The limit of the time in which a body sends no bytes.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Duration,
    timer: Pin<Box<IdleTimer>>,
}

impl Silence {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, timer: Box::pin(IdleTimer::default()) }
    }

    /// Ends the silence, because bytes have arrived.
    pub(crate) fn end(&mut self) {
        self.timer.as_mut().reset();
    }

    /// Waits until the limit is exceeded, and returns the error for it. The silence begins at the
    /// first call after bytes have [arrived](Self::end).
    pub(crate) fn poll_exceeded(&mut self, cx: &mut Context<'_>) -> Poll<BoxError> {
        let interval = IdleInterval { length: self.limit, grid: None };
        self.timer.as_mut().poll_interval(cx, interval).map(|()| {
            let text = format!("event stream sent nothing for {:?}", self.limit);
            io::Error::new(io::ErrorKind::TimedOut, text).into()
        })
    }
}
