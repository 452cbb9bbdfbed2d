use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
};

use tokio_util::sync::CancellationToken;

use super::{CloseError, Streams, registry::Registry};

/// The way in which closes reach other processes.
pub(crate) trait Relay: Send + Sync {
    /// Publishes a close, and waits for its acknowledgement.
    fn publish(&self, closing: Closing<'_>) -> Publishing;
}

pub(crate) type Publishing = Pin<Box<dyn Future<Output = Result<(), CloseError>> + Send>>;

/// A close, as the program names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing<'s> {
    Subject(&'s str),
    /// The streams of the first subject that do not have the second.
    Except(&'s str, &'s str),
}

/// The streams of this process, as the task that follows the closes of other processes knows them.
///
/// They exist until the last `Streams` is dropped and the last stream with a subject has ended.
pub(crate) struct Followed {
    registry: Weak<Registry>,
    ended: CancellationToken,
}

impl Followed {
    /// Creates streams whose closes are also published by `relay`.
    pub(crate) fn relayed_by(relay: Arc<dyn Relay>) -> (Streams, Self) {
        let ended = CancellationToken::new();
        let registry = Arc::new(Registry::new(Some(ended.clone().drop_guard())));
        let followed = Self { registry: Arc::downgrade(&registry), ended };
        (Streams::of(registry, Some(relay)), followed)
    }

    /// Runs `future` while the streams exist.
    pub(crate) async fn while_they_exist(&self, future: impl Future<Output = ()>) {
        _ = self.ended.run_until_cancelled(future).await;
    }

    /// Closes the streams of this process as another process has closed its own.
    pub(crate) fn close(&self, closing: Closing<'_>) {
        if let Some(registry) = self.registry.upgrade() {
            registry.close(closing);
        }
    }

    /// Closes all streams of this process that have a subject.
    pub(crate) fn close_all(&self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.close_all();
        }
    }
}
