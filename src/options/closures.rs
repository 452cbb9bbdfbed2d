use std::{error::Error, sync::Arc};

use crate::{
    callback::{Opaque, catch_panic},
    connection::CloseReport,
    event::Event,
};

/// A closure that is called when a stream opens.
pub(crate) type OnOpen = Opaque<Arc<dyn Fn() + Send + Sync>>;
/// A closure that is called when a stream has closed.
pub(crate) type OnClose = Opaque<Arc<dyn Fn(&CloseReport) + Send + Sync>>;
/// A closure that turns an error of the source into the last event of the stream.
pub(super) type ErrorToEvent = Opaque<Arc<dyn Fn(&(dyn Error + 'static)) -> Event + Send + Sync>>;

/// A closure that decides whether an error of the source is a cancellation.
pub(super) type CancellationIf = Opaque<Arc<dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync>>;

/// The closures that are called when a stream has closed, combined into one.
#[derive(Clone, Debug, Default)]
pub(super) struct CloseCallbacks {
    pub(super) callback: Option<OnClose>,
    /// The closures that were set earlier, such as the layer's, are not called.
    replaces_earlier: bool,
}

impl CloseCallbacks {
    pub(super) const NONE: Self = Self { callback: None, replaces_earlier: false };
    pub(super) const TURNED_OFF: Self = Self { callback: None, replaces_earlier: true };

    pub(super) fn add(&mut self, callback: OnClose) {
        self.callback = Some(match self.callback.take() {
            Some(earlier) => both(earlier, callback),
            None => callback,
        });
    }

    /// Returns callbacks that call `defaults` and then `self`, or only `self` if it replaces them.
    pub(super) fn after(self, defaults: &Self) -> Self {
        if self.replaces_earlier {
            return self;
        }
        let mut callbacks = defaults.clone();
        if let Some(callback) = self.callback {
            callbacks.add(callback);
        }
        callbacks
    }
}

/// Returns a callback that calls `first` and then `second`, even if `first` panics.
fn both(first: OnClose, second: OnClose) -> OnClose {
    Opaque(Arc::new(move |report| {
        _ = catch_panic(|| first(report));
        second(report);
    }))
}
