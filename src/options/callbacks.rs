use std::{error::Error, sync::Arc};

use crate::{callback::catch_panic, connection::CloseReport, event::Event};

/// A closure that is called when a stream opens.
pub(crate) type OnOpen = dyn Fn() + Send + Sync;
/// A closure that is called when a stream has closed.
pub(crate) type OnClose = dyn Fn(&CloseReport) + Send + Sync;
/// A closure that turns an error of the source into the last event of the stream.
pub(super) type ErrorToEvent = dyn Fn(&(dyn Error + 'static)) -> Event + Send + Sync;

/// Returns a callback that calls `first` and then `second`, even if `first` panics.
pub(super) fn both(
    first: Option<Arc<OnClose>>,
    second: Option<Arc<OnClose>>,
) -> Option<Arc<OnClose>> {
    match (first, second) {
        (Some(first), Some(second)) => Some(Arc::new(move |report| {
            _ = catch_panic(|| first(report));
            second(report);
        })),
        (first, second) => first.or(second),
    }
}
