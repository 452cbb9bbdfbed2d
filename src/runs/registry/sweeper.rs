use std::sync::{Arc, Weak};

use tokio::time::sleep_until;

use super::shared::Shared;

/// The task that forgets runs when they are due. It ends once no run is kept.
pub(crate) struct Sweeper(Weak<Shared>);

impl Sweeper {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    pub(crate) async fn run(self) {
        while let Some(due) = self.0.upgrade().and_then(|shared| shared.sweep()) {
            sleep_until(due).await;
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        // The runtime may end before the last run is forgotten.
        if let Some(shared) = self.0.upgrade() {
            shared.stop_sweeping();
        }
    }
}
