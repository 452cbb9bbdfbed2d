use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
};

use tokio_util::sync::CancellationToken;

use super::{CloseError, Streams, open_streams::OpenStreams};

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
    open_streams: Weak<OpenStreams>,
    ended: CancellationToken,
}

impl Followed {
    /// Creates streams whose closes are also published by `relay`.
    pub(crate) fn relayed_by(relay: Arc<dyn Relay>) -> (Streams, Self) {
        let ended = CancellationToken::new();
        let open_streams = Arc::new(OpenStreams::new(Some(ended.clone().drop_guard())));
        let followed = Self { open_streams: Arc::downgrade(&open_streams), ended };
        (Streams::of(open_streams, Some(relay)), followed)
    }

    /// Runs `future` while the streams exist.
    pub(crate) async fn while_they_exist(&self, future: impl Future<Output = ()>) {
        _ = self.ended.run_until_cancelled(future).await;
    }

    /// Closes the streams of this process as another process has closed its own.
    pub(crate) fn close(&self, closing: Closing<'_>) {
        if let Some(open_streams) = self.open_streams.upgrade() {
            open_streams.close(closing);
        }
    }

    /// Closes all streams of this process that have a subject.
    pub(crate) fn close_all(&self) {
        if let Some(open_streams) = self.open_streams.upgrade() {
            open_streams.close_all();
        }
    }
}
