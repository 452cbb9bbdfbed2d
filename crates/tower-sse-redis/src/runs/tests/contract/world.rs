use tower_sse::runs::RunStore;

use super::*;
use crate::runs::tests::memory_store::{MemoryStore, Server};

/// An empty store, and what a test can do to it.
pub(crate) trait World: Sized {
    type Store: Open<Error: Debug> + RunStore<Error: Debug>;
    type Way: Way;

    /// How late everything can be, on a busy machine.
    const SLACK: Duration;

    /// Returns `None`, and prints the reason, if the store is not installed.
    async fn start(lease: Duration) -> Option<Self>;

    /// Returns the store of one more process.
    fn store(&self) -> Self::Store;

    /// Returns the same, and the way to the store.
    async fn store_and_way(&self) -> (Self::Store, Self::Way);

    /// Lets time pass for leases and all that follows from them.
    async fn pass(&self, time: Duration);

    /// Loses all data, while processes are connected.
    async fn lose_data(&self);

    async fn lose_claim(&self, key: &RunKey);

    async fn lose_stream(&self, run: &RunId);

    /// Copies all claims and streams.
    async fn copy(&mut self);

    /// Replaces all data by the copy, as a fail-over to an older state does.
    async fn put_back(&self);
}

/// The way of a process to the store.
pub(crate) trait Way {
    /// Breaks all connections, and refuses new ones.
    fn cut(&self);

    fn heal(&self);
}

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
