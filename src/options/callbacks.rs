use std::{error::Error, sync::Arc};

use crate::{callback::catch_panic, connection::CloseReport, event::Event};

/// Called when a stream opens.
pub(crate) type OnOpen = dyn Fn() + Send + Sync;
/// Called when a stream has closed.
pub(crate) type OnClose = dyn Fn(&CloseReport) + Send + Sync;
/// Makes the last event of a stream from its source's error.
pub(super) type ErrorToEvent = dyn Fn(&(dyn Error + 'static)) -> Event + Send + Sync;
/// Decides whether an error of the source is a cancellation.
pub(super) type CancellationIf = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;

/// The callbacks for the close of a stream, as one that calls them all.
#[derive(Clone, Default)]
pub(super) struct CloseCallbacks {
    callback: Option<Arc<OnClose>>,
    /// Those that were set before, such as the layer's, are not called.
    alone: bool,
}

impl CloseCallbacks {
    pub(super) const NONE: Self = Self { callback: None, alone: false };
    pub(super) const UNDONE: Self = Self { callback: None, alone: true };

    pub(super) fn add(&mut self, callback: Arc<OnClose>) {
        self.callback = Some(match self.callback.take() {
            Some(earlier) => both(earlier, callback),
            None => callback,
        });
    }

    pub(super) const fn is_set(&self) -> bool {
        self.callback.is_some()
    }

    pub(super) fn get(&self) -> Option<Arc<OnClose>> {
        self.callback.clone()
    }

    /// Returns these callbacks behind those of `defaults`, unless they are to be alone.
    pub(super) fn after(self, defaults: &Self) -> Self {
        if self.alone {
            return self;
        }
        let mut callbacks = defaults.clone();
        if let Some(callback) = self.callback {
            callbacks.add(callback);
        }
        callbacks
    }
}

/// Returns a callback that calls both, the second even if the first panics.
fn both(first: Arc<OnClose>, second: Arc<OnClose>) -> Arc<OnClose> {
    Arc::new(move |report| {
        _ = catch_panic(|| first(report));
        second(report);
    })
}
