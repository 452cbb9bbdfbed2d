use http::{HeaderMap, Method};

use super::Config;
use crate::connection::{Client, HeaderScan, accepts_event_stream};

/// The facts about a request that determine its response. Computed when the request arrives.
#[derive(Clone, Copy)]
pub(super) struct RequestInfo {
    pub(super) client: Client,
    /// Whether the request is a call that arrived after the shutdown had begun.
    pub(super) arrived_during_shutdown: bool,
    pub(super) is_head: bool,
    pub(super) accepts_stream: bool,
}

impl RequestInfo {
    #[inline]
    pub(super) fn new(
        config: &Config,
        method: &Method,
        headers: &HeaderMap,
        scan: HeaderScan,
    ) -> Self {
        let client = Client::of_scanned(method, headers, scan);
        Self {
            client,
            arrived_during_shutdown: client.is_call() && config.is_draining(),
            is_head: method == Method::HEAD,
            accepts_stream: !config.require_accept || accepts_event_stream(headers),
        }
    }
}
