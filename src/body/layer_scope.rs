use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::task;

thread_local! {
    /// Whether the thread is polling a body for a layer.
    static WITHIN_LAYER: Cell<bool> = const { Cell::new(false) };
}

/// Calls `poll`, which polls a body for a layer.
///
/// A body of this crate can be nested in any number of other bodies, so it shares only the call
/// stack with the layer. If `poll` panics, the thread stays marked, and at worst a warning is
/// missed.
#[inline]
pub(crate) fn within_layer<T>(poll: impl FnOnce() -> T) -> T {
    let outer = WITHIN_LAYER.replace(true);
    let polled = poll();
    WITHIN_LAYER.set(outer);
    polled
}

/// Warns, once for each process, if no layer polls the current body.
///
/// Servers poll bodies on tasks that they spawn. Tests that read the body of a handler themselves
/// are rarely on one, and need no layer.
#[cold]
#[inline(never)]
pub(super) fn warn_without_layer() {
    static HAS_WARNED: AtomicBool = AtomicBool::new(false);

    if WITHIN_LAYER.get() || task::try_id().is_none() || HAS_WARNED.swap(true, Relaxed) {
        return;
    }
    report(
        "an event stream is served without `SseLayer`: it has no heartbeats, and its \
         `StreamOptions` have no effect; add `.layer(SseLayer::new())` after the routes",
    );
}

#[cfg(feature = "tracing")]
fn report(warning: &str) {
    warn!("{warning}");
}

#[cfg(all(debug_assertions, not(feature = "tracing")))]
fn report(warning: &str) {
    use std::io::{self, Write};

    // Unlike `eprintln`, this does not panic if the write fails.
    _ = writeln!(io::stderr(), "tower-sse: {warning}");
}

#[cfg(not(any(debug_assertions, feature = "tracing")))]
fn report(_: &str) {}
