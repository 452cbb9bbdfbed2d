use std::{error::Error, sync::Arc};

use crate::{callback::catch_panic, connection::CloseReport, event::Event};

/// Called when a stream opens.
pub(crate) type OnOpen = dyn Fn() + Send + Sync;
/// Called when a stream has closed.
pub(crate) type OnClose = dyn Fn(&CloseReport) + Send + Sync;
/// Makes the last event of a stream from its source's error.
pub(super) type ErrorToEvent = dyn Fn(&(dyn Error + 'static)) -> Event + Send + Sync;
/// Decides whether an error of the source is a cancellation.
pub(crate) type CancellationIf = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;

/// The callbacks for the close of a stream.
#[derive(Clone, Default)]
pub(super) struct CloseCallbacks {
    pub(super) callback: Option<Arc<OnClose>>,
    /// The layer's own callback is not called.
    pub(super) replaces: bool,
}

impl CloseCallbacks {
    /// These callbacks, called after those of `defaults` unless they replace them.
    pub(super) fn after(self, defaults: &Self) -> Self {
        match (self.callback, defaults.callback.clone()) {
            (callback, _) if self.replaces => Self { callback, replaces: true },
            (Some(own), earlier) => {
                Self { callback: Some(both(earlier, own)), replaces: defaults.replaces }
            }
            (None, earlier) => Self { callback: earlier, replaces: defaults.replaces },
        }
    }
}

/// One callback that calls both, the second even if the first panics.
pub(super) fn both(first: Option<Arc<OnClose>>, second: Arc<OnClose>) -> Arc<OnClose> {
    match first {
        None => second,
        Some(first) => Arc::new(move |report| {
            _ = catch_panic(|| first(report));
            second(report);
        }),
    }
}
