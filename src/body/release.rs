use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    task::coop,
    time::{Sleep, sleep},
};

use crate::{callback::without_panic, lock::lock};

/// The wait of a body until the server has dropped its last frame, and so has written it.
#[derive(Debug)]
pub(super) struct Release {
    frame: Arc<Mutex<FrameState>>,
    /// The maximum wait. What collects frames never drops them.
    max_wait: Duration,
    timeout: Option<Pin<Box<Sleep>>>,
}

/// Whether the server holds the last frame, and the task that waits for its release.
#[derive(Debug, Default)]
struct FrameState {
    is_held: bool,
    waiting: Option<Waker>,
}

impl Release {
    pub(super) fn within(max_wait: Duration) -> Self {
        Self { frame: Arc::default(), max_wait, timeout: None }
    }

    /// Returns the bytes to send in place of `frame`.
    pub(super) fn track(&mut self, frame: Bytes) -> Bytes {
        self.timeout = None;
        lock(&self.frame).is_held = true;
        Bytes::from_owner(TrackedFrame { bytes: frame, state: Arc::clone(&self.frame) })
    }

    /// Waits until the server has dropped the last frame.
    pub(super) fn poll_released(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !lock(&self.frame).is_held {
            return Poll::Ready(());
        }
        // Cloning or dropping a waker can run any code, so neither is done with the lock.
        let waker = cx.waker().clone();
        let (is_held, _earlier) = {
            let mut frame = lock(&self.frame);
            (frame.is_held, frame.waiting.replace(waker))
        };
        if !is_held {
            return Poll::Ready(());
        }
        let timeout = self.timeout.get_or_insert_with(|| Box::pin(sleep(self.max_wait)));
        pin!(coop::unconstrained(timeout)).poll(cx)
    }
}

struct TrackedFrame {
    bytes: Bytes,
    state: Arc<Mutex<FrameState>>,
}

impl AsRef<[u8]> for TrackedFrame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for TrackedFrame {
    fn drop(&mut self) {
        let waiting = {
            let mut frame = lock(&self.state);
            frame.is_held = false;
            frame.waiting.take()
        };
        if let Some(waiting) = waiting {
            without_panic(|| waiting.wake());
        }
    }
}
