use std::{
    future::Future,
    sync::{Arc, Weak},
};

use tokio_util::sync::CancellationToken;

use super::{Closing, Streams, StreamsBuilder, open_streams::OpenStreams, outgoing::Relay};

/// The streams of this process, as the task that follows the closes of other processes knows them.
///
/// They exist until the last `Streams` is dropped and the last stream with a subject has ended.
pub(crate) struct Followed {
    open_streams: Weak<OpenStreams>,
    ended: CancellationToken,
}

impl Followed {
    /// Creates streams whose closes are also published by `relay`.
    pub(crate) fn relayed_by(relay: Arc<Relay>, builder: StreamsBuilder) -> (Streams, Self) {
        let ended = CancellationToken::new();
        let follower = ended.clone().drop_guard();
        let open_streams = Arc::new(OpenStreams::new(builder.limits(), Some(follower)));
        let followed = Self { open_streams: Arc::downgrade(&open_streams), ended };
        (Streams { open_streams, relay: Some(relay) }, followed)
    }

    /// Runs `future` while the streams exist.
    pub(crate) async fn while_they_exist(&self, future: impl Future<Output = ()>) {
        _ = self.ended.run_until_cancelled(future).await;
    }

    /// Closes the streams of this process as another process has closed its own. `None` closes all
    /// that have a subject.
    pub(crate) fn close(&self, closing: Option<Closing<&str>>) {
        if let Some(open_streams) = self.open_streams.upgrade() {
            match closing {
                Some(closing) => open_streams.close(closing),
                None => open_streams.close_all(),
            };
        }
    }
}
