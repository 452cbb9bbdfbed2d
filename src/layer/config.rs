use std::{fmt, sync::Arc};

use http::Request;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Refusal;
use crate::{
    body::StreamRecord,
    connection::{DisconnectGuard, LastEventId},
    options::{OnOpen, ResolvedOptions},
    stats::Stats,
    streams::{Streams, Subjects},
};

/// The options of a layer, which its services and their streams share.
#[derive(Clone, Default)]
pub(crate) struct Config {
    pub(super) options: Arc<ResolvedOptions>,
    pub(super) shutdown: Option<CancellationToken>,
    /// One permit for each stream that may be open.
    pub(super) permits: Option<Arc<Semaphore>>,
    pub(super) refusal: Refusal,
    pub(super) require_accept: bool,
    pub(super) last_event_id_query: Vec<String>,
    pub(super) track_disconnects: bool,
    pub(super) streams: Option<Streams>,
    pub(super) stats: Stats,
    pub(super) on_open: Vec<Arc<OnOpen>>,
}

impl Config {
    /// Inserts the client's last event id into the extensions of its request.
    pub(super) fn insert_last_event_id<B>(&self, request: &mut Request<B>) {
        let last_event_id = LastEventId::from_headers(request.headers())
            .or_else(|| LastEventId::from_query(request.uri(), &self.last_event_id_query));
        if let Some(last_event_id) = last_event_id {
            request.extensions_mut().insert(last_event_id);
        }
    }

    /// Returns the subjects of the stream that answers a request.
    pub(super) fn subjects_of<B>(&self, request: &mut Request<B>) -> Option<Subjects> {
        match &self.streams {
            Some(streams) => Some(streams.subjects_of(request)),
            None => request.extensions().get().cloned(),
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.shutdown.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// Opens a stream with these options.
    pub(super) fn open(
        &self,
        options: &ResolvedOptions,
        permit: Option<OwnedSemaphorePermit>,
        disconnect: Option<DisconnectGuard>,
    ) -> StreamRecord {
        let stats = self.stats.clone();
        StreamRecord::open(stats, &self.on_open, options.on_close(), disconnect, permit)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("options", self.options.stream_options())
            .field("shutdown", &self.shutdown)
            .field("permits", &self.permits.as_ref().map(|permits| permits.available_permits()))
            .field("refusal", &self.refusal)
            .field("require_accept", &self.require_accept)
            .field("last_event_id_query", &self.last_event_id_query)
            .field("track_disconnects", &self.track_disconnects)
            .field("streams", &self.streams)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
