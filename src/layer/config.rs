use std::{fmt, sync::Arc};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Refusal;
use crate::{
    options::{OnOpen, ResolvedOptions},
    stats::Stats,
};

/// The options of a layer, which its services and their streams share.
#[derive(Clone)]
pub(crate) struct Config {
    pub(super) options: Arc<ResolvedOptions>,
    pub(super) shutdown: Option<CancellationToken>,
    /// One permit for each stream that may be open.
    pub(super) permits: Option<Arc<Semaphore>>,
    pub(super) refusal: Refusal,
    pub(super) require_accept: bool,
    pub(super) last_event_id_query: Vec<String>,
    pub(super) track_disconnects: bool,
    pub(super) stats: Stats,
    pub(super) on_open: Vec<Arc<OnOpen>>,
}

impl Config {
    pub(super) fn new() -> Self {
        Self {
            options: Arc::new(ResolvedOptions::new()),
            shutdown: None,
            permits: None,
            refusal: Refusal::default(),
            require_accept: false,
            last_event_id_query: Vec::new(),
            track_disconnects: false,
            stats: Stats::new(),
            on_open: Vec::new(),
        }
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
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
