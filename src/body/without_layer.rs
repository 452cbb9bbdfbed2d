use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::task;

use crate::signals::is_within_layer;

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
