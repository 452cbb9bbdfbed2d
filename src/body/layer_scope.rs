use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::task;

thread_local! {
    /// The layer for which the thread is polling a response or a body.
    static POLLED_BY: Cell<PolledBy> = const { Cell::new(PolledBy::None) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PolledBy {
    None,
    Layer,
    /// A layer that is about to send a heartbeat.
    LayerAtHeartbeat,
    Recorder,
}

/// Calls `poll`, which polls a response or a body for a layer.
///
/// A body of this crate can be nested in any number of other bodies, so it shares only the call
/// stack with the layer. Middleware can also read the body before it returns the response, or on a
/// task of its own, so a body that is created within a layer never warns.
#[inline]
pub(crate) fn within_layer<T>(poll: impl FnOnce() -> T) -> T {
    within(PolledBy::Layer, poll)
}

/// Calls `poll`, which polls a body for a layer that is about to send a heartbeat. A source can then
/// send what is not worth a packet of its own.
pub(crate) fn within_layer_at_heartbeat<T>(poll: impl FnOnce() -> T) -> T {
    within(PolledBy::LayerAtHeartbeat, poll)
}

/// Calls `poll`, which polls a body for the layer of runs. That layer copies each frame and drops
/// it before it polls again. It takes a clean end for the end of the answer.
#[inline]
pub(crate) fn within_recorder<T>(poll: impl FnOnce() -> T) -> T {
    within(PolledBy::Recorder, poll)
}

#[inline]
fn within<T>(layer: PolledBy, poll: impl FnOnce() -> T) -> T {
    /// Restores the mark when it is dropped, even if `poll` panics.
    struct Outer(PolledBy);

    impl Drop for Outer {
        #[inline]
        fn drop(&mut self) {
            POLLED_BY.set(self.0);
        }
    }

    let _outer = Outer(POLLED_BY.replace(layer));
    poll()
}

/// Returns whether a layer is polling on this thread.
pub(super) fn is_within_layer() -> bool {
    POLLED_BY.get() != PolledBy::None
}

/// Returns whether the layer that is polling on this thread is about to send a heartbeat.
#[cfg(feature = "hub")]
pub(crate) fn is_heartbeat_due() -> bool {
    POLLED_BY.get() == PolledBy::LayerAtHeartbeat
}

/// Returns whether the layer of runs is polling on this thread, with no layer inside of it.
pub(super) fn is_within_recorder() -> bool {
    POLLED_BY.get() == PolledBy::Recorder
}

/// Warns, once for each process, if no layer polls the current body.
///
/// Servers poll bodies on tasks that they spawn. Tests that read the body of a handler themselves
/// are rarely on one, and need no layer.
#[cold]
#[inline(never)]
pub(super) fn warn_without_layer() {
    static HAS_WARNED: AtomicBool = AtomicBool::new(false);

    if is_within_layer() || task::try_id().is_none() || HAS_WARNED.swap(true, Relaxed) {
        return;
    }
    warn!(
        "an event stream is served without `SseLayer`: it has no heartbeats, and its \
         `StreamOptions` have no effect; add `.layer(SseLayer::new())` after the routes"
    );
}
