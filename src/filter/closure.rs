use super::{EventFilter, Verdict};
use crate::EventRef;

/// Creates a filter from a closure that decides what becomes of each event.
///
/// ```
/// use tower_sse::filter::{self, Verdict};
///
/// let without_pings = filter::from_fn(|event| match &*event.name() {
///     "ping" => Verdict::Drop,
///     _ => Verdict::Pass,
/// });
/// ```
pub const fn from_fn<F: FnMut(EventRef<'_>) -> Verdict>(decide: F) -> FromFn<F> {
    FromFn { decide }
}

/// Creates a filter from a closure that sees each event, all of which pass.
///
/// ```
/// use tower_sse::filter;
///
/// let logging = filter::inspect(|event| println!("{}: {}", event.name(), event.data()));
/// ```
pub fn inspect<F>(mut look: F) -> FromFn<impl FnMut(EventRef<'_>) -> Verdict>
where
    F: FnMut(EventRef<'_>),
{
    from_fn(move |event| {
        look(event);
        Verdict::Pass
    })
}

/// The filter that [`from_fn`] and [`inspect`] create.
#[derive(Clone)]
pub struct FromFn<F> {
    decide: F,
}

impl<F: FnMut(EventRef<'_>) -> Verdict> EventFilter for FromFn<F> {
    fn event(&mut self, event: EventRef<'_>) -> Verdict {
        (self.decide)(event)
    }
}

opaque_debug!(FromFn<F>);
