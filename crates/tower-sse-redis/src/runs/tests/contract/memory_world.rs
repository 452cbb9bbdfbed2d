use std::time::Duration;

use tokio::time::sleep;
use tower_sse::runs::RunKey;

use super::{Way, World};
use crate::runs::{
    seam::RunId,
    tests::memory_store::{MemoryStore, Server},
};

/// A store in memory, under a paused clock.
pub(crate) struct Memory {
    store: MemoryStore,
    copy: Server,
}

impl World for Memory {
    type Store = MemoryStore;
    type Way = MemoryStore;

    const SLACK: Duration = Duration::ZERO;

    async fn start(lease: Duration) -> Option<Self> {
        Some(Self { store: MemoryStore::new(lease), copy: Server::default() })
    }

    fn store(&self) -> MemoryStore {
        self.store.other()
    }

    async fn store_and_way(&self) -> (MemoryStore, MemoryStore) {
        let store = self.store();
        (store.clone(), store)
    }

    async fn pass(&self, time: Duration) {
        sleep(time).await;
    }

    async fn lose_data(&self) {
        self.store.lose_data();
    }

    async fn lose_claim(&self, key: &RunKey) {
        self.store.server().claims.remove(key).expect("a claim");
    }

    async fn lose_stream(&self, run: &RunId) {
        self.store.server().streams.remove(run).expect("a stream");
    }

    async fn copy(&mut self) {
        self.copy = self.store.server().clone();
    }

    async fn put_back(&self) {
        self.store.restore(&self.copy);
    }
}

impl Way for MemoryStore {
    fn cut(&self) {
        self.go_away();
    }

    fn heal(&self) {
        self.come_back();
    }
}
