use std::sync::{Arc, Weak};

use tokio::{runtime::Handle, task::JoinHandle, time::sleep_until};

use super::shared::Shared;

/// Spawns a task that forgets runs when they are due, and ends once no run is kept. Without a
/// runtime, later calls forget them.
pub(super) fn spawn(shared: &Arc<Shared>) -> Option<JoinHandle<()>> {
    let runtime = Handle::try_current().ok()?;
    Some(runtime.spawn(sweep(Arc::downgrade(shared))))
}

async fn sweep(shared: Weak<Shared>) {
    while let Some(due) = shared.upgrade().and_then(|shared| shared.sweep()) {
        sleep_until(due).await;
    }
}
