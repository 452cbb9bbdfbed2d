use std::{fmt::Debug, time::Duration};

use tower_sse::runs::{RunKey, RunStore};

use crate::runs::{seam::RunId, tests::Open};

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
