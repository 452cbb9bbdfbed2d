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

/// Returns a closure that calls `first` and then `second`, even if `first` panics.
pub(super) fn both(first: Option<OnClose>, second: Option<OnClose>) -> Option<OnClose> {
    let (Some(first), Some(second)) = (&first, &second) else { return first.or(second) };
    let (first, second) = (first.clone(), second.clone());
    Some(Opaque(Arc::new(move |report| {
        _ = catch_panic(|| first(report));
        second(report);
    })))
}
