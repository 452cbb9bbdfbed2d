use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::{error::Error, io, iter};

use crate::tasks::lock;

/// The state of a process's connection to a log, for probes and metrics. Clones share it.
#[derive(Clone, Debug)]
pub struct Health<E> {
    state: Arc<HealthState<E>>,
}

#[derive(Debug)]
struct HealthState<E> {
    is_ready: AtomicBool,
    last_error: Mutex<Option<E>>,
    reconnections: AtomicU64,
    losses: AtomicU64,
}

impl<E> Default for Health<E> {
    fn default() -> Self {
        let (is_ready, last_error) = (AtomicBool::new(false), Mutex::new(None));
        let [reconnections, losses] = [const { AtomicU64::new(0) }; 2];
        Self { state: Arc::new(HealthState { is_ready, last_error, reconnections, losses }) }
    }
}

impl<E: Clone> Health<E> {
    /// Returns whether the hub is connected and has caught up with its log.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state.is_ready.load(Acquire)
    }

    /// Returns the newest error, if any, even after the connection has recovered.
    #[must_use]
    pub fn last_error(&self) -> Option<E> {
        lock(&self.state.last_error).clone()
    }

    /// Returns how many times the hub has reconnected, after a break or to mark a loss.
    #[must_use]
    pub fn reconnections(&self) -> u64 {
        self.state.reconnections.load(Relaxed)
    }

    /// Returns how many losses this hub has reported since it loaded the history. One loss can
    /// affect many events.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.state.losses.load(Relaxed)
    }

    /// Sets the newest error. [`follow`](crate::follow) does this for errors from the
    /// [`Log`](crate::Log). Call this method for other errors.
    pub fn set_error(&self, error: E) {
        *lock(&self.state.last_error) = Some(error);
    }

    /// Sets whether the connection is ready. Call this only if [`follow`](crate::follow) doesn't
    /// manage the connection.
    pub fn set_ready(&self, is_ready: bool) {
        self.state.is_ready.store(is_ready, Release);
    }

    /// Counts a reconnection. Call this only if [`follow`](crate::follow) doesn't manage the
    /// connection.
    pub fn count_reconnection(&self) {
        self.state.reconnections.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_loss(&self) {
        self.state.losses.fetch_add(1, Relaxed);
    }
}

/// Returns the messages of an error and of its sources, as in `a: b: c`.
#[must_use]
pub fn with_sources(error: &(dyn Error + 'static)) -> String {
    let sources = iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        // `source` skips the error that an `io::Error` wraps.
        Some(outer) => outer.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    });
    let mut text = error.to_string();
    for source in sources.skip(1) {
        let source = source.to_string();
        // Some errors include the text of their source.
        if !text.contains(&source) {
            text.extend([": ", &source]);
        }
    }
    text
}
