use std::cell::Cell;

thread_local! {
    /// The layers for which the thread is polling a response or a body.
    static POLLED_BY: Cell<PolledBy> =
        const { Cell::new(PolledBy { innermost: Layer::None, is_recorded: false }) };
}

#[derive(Clone, Copy)]
struct PolledBy {
    innermost: Layer,
    /// Whether the layer of runs is one of them.
    is_recorded: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    None,
    Sse,
    Runs,
}

/// Calls `poll`, which polls a response or a body for a layer.
///
/// A body of this crate can be nested in any number of other bodies, so it shares only the call
/// stack with the layer. Middleware can also read the body before it returns the response, or on a
/// task of its own, so a body that is created within a layer never warns.
#[inline]
pub(crate) fn within_layer<T>(poll: impl FnOnce() -> T) -> T {
    within(Layer::Sse, poll)
}

/// Calls `poll`, which polls a response or a body for the layer of runs. That layer copies each frame
/// and drops it before it polls again. It takes a clean end for the end of the answer.
#[inline]
pub(crate) fn within_recorder<T>(poll: impl FnOnce() -> T) -> T {
    within(Layer::Runs, poll)
}

#[inline]
fn within<T>(layer: Layer, poll: impl FnOnce() -> T) -> T {
    /// Restores the mark when it is dropped, even if `poll` panics.
    struct Outer(PolledBy);

    impl Drop for Outer {
        #[inline]
        fn drop(&mut self) {
            POLLED_BY.set(self.0);
        }
    }

    let outer = Outer(POLLED_BY.get());
    let is_recorded = outer.0.is_recorded || layer == Layer::Runs;
    POLLED_BY.set(PolledBy { innermost: layer, is_recorded });
    poll()
}

/// Returns whether a layer is polling on this thread.
pub(crate) fn is_within_layer() -> bool {
    POLLED_BY.get().innermost != Layer::None
}

/// Returns whether the layer of runs is polling on this thread, with no layer inside of it.
pub(crate) fn is_within_recorder() -> bool {
    POLLED_BY.get().innermost == Layer::Runs
}

/// Returns whether the layer of runs is polling on this thread, with or without layers inside of it:
/// what is polled is recorded for several clients.
pub(crate) fn is_recorded() -> bool {
    POLLED_BY.get().is_recorded
}
