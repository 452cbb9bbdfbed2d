use std::{sync::Arc, time::Duration};

use http::header::VARY;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refusal;
use crate::body::{Observation, SseBody, StreamRecord};
use crate::callback::{Opaque, with_head};
use crate::connection::{
    ClientKind, DisconnectGuard, HeaderScan, LastEventId, accepts_event_stream, query_value,
};
use crate::options::{OnOpen, ResolvedOptions, StreamOptions};
use crate::shutdown::{EndsWith, Shutdown, ShutdownWait};
use crate::signals::OnRefusal;
use crate::streams::{Streams, Subjects};
use crate::{headers, stats::Stats};

type LabelOf = Opaque<Arc<dyn Fn(&Parts) -> Arc<str> + Send + Sync>>;

/// The options of a layer, which its services and their streams share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(super) options: Arc<ResolvedOptions>,
    pub(super) shutdown: Option<Arc<Shutdown>>,
    /// One permit for each stream that may be open.
    pub(super) permits: Option<Arc<Semaphore>>,
    pub(super) refusal: Refusal,
    pub(super) require_accept: bool,
    pub(super) last_event_id_query: Vec<String>,
    pub(super) long_poll_query: Option<String>,
    pub(super) track_disconnects: bool,
    pub(super) timings: bool,
    pub(super) omits_incremental: bool,
    pub(super) label: Option<LabelOf>,
    pub(super) streams: Option<Streams>,
    pub(super) stats: Stats,
    pub(super) on_open: Vec<OnOpen>,
}

impl Config {
    pub(super) fn insert_last_event_id<B>(&self, request: &mut Request<B>) {
        let last_event_id = LastEventId::from_headers(request.headers())
            .or_else(|| LastEventId::from_query(request.uri(), &self.last_event_id_query));
        if let Some(last_event_id) = last_event_id {
            request.extensions_mut().insert(last_event_id);
        }
    }

    /// Makes the stream a long poll if the query asks for one.
    pub(super) fn set_long_poll<B>(&self, request: &mut Request<B>, name: &str) {
        if request.method() != Method::GET {
            return;
        }
        let seconds = query_value(request.uri(), name);
        if let Some(digits) = seconds.filter(|text| text.iter().all(u8::is_ascii_digit)) {
            // Digits fail to parse only if their number is too large for the type.
            let seconds = String::from_utf8_lossy(&digits).parse().unwrap_or(u64::MAX);
            let max_wait = Duration::from_secs(seconds.clamp(1, 25));
            add_options(request, &StreamOptions::new().long_poll(max_wait));
        }
    }

    pub(super) fn subjects_of<B>(&self, request: &mut Request<B>) -> Option<Subjects> {
        match &self.streams {
            Some(streams) => Some(streams.subjects_of(request)),
            None => request.extensions().get().cloned(),
        }
    }

    /// Applies the kind of client that the program has set.
    pub(super) fn set_client<B>(&self, request: &mut Request<B>, info: &mut RequestInfo) {
        if let Some(kind) = self.options.merged.client_kind {
            add_options(request, &StreamOptions::new().client_kind(kind));
        }
        info.client = StreamOptions::client_or(request.extensions(), info.client);
        info.has_drain |= info.client.is_call();
    }

    /// Begins to observe the answer to a request, if an option of the layer needs it.
    pub(super) fn observe<B>(&self, request: &mut Request<B>) -> Option<Box<Observation>> {
        if !self.timings && self.label.is_none() {
            return None;
        }
        let label = self.label.as_ref();
        let label = label.and_then(|label| with_head(request, |parts| label(parts)));
        Some(Box::new(Observation::new(label, self.timings)))
    }

    pub(super) fn make_event_stream(&self, headers: &mut HeaderMap) {
        headers::make_event_stream(headers);
        if !self.omits_incremental {
            headers::ask_for_incremental_forwarding(headers);
        }
    }

    /// Returns the wait for the layer's shutdown.
    pub(super) fn shutdown_wait(&self) -> Option<ShutdownWait> {
        self.shutdown.as_ref().map(|it| ShutdownWait::of(EndsWith::Own(Arc::clone(it))))
    }

    fn is_draining(&self) -> bool {
        self.shutdown.as_ref().is_some_and(|shutdown| shutdown.has_begun())
    }

    /// Decides whether a stream may open for this request and takes its permit.
    pub(super) fn admit(
        &self,
        request: RequestInfo,
    ) -> Result<Option<OwnedSemaphorePermit>, NotOpened> {
        if !request.accepts_stream {
            return Err(NotOpened::NotAcceptable);
        }
        if request.is_head {
            return Ok(None);
        }
        if self.is_barred_by_shutdown(request) {
            return Err(NotOpened::Unavailable);
        }
        let permit = self.permits.as_ref().map(|permits| Arc::clone(permits).try_acquire_owned());
        permit.transpose().map_err(|_| NotOpened::Unavailable)
    }

    /// Returns whether the shutdown prevents a stream from opening.
    pub(super) fn is_barred_by_shutdown(&self, request: RequestInfo) -> bool {
        request.arrived_during_shutdown || !request.has_drain && self.is_draining()
    }

    #[cold]
    pub(super) fn not_opened<B, C>(
        &self,
        reason: NotOpened,
        request: RequestInfo,
        last_id: Option<&LastEventId>,
        response: Response<B>,
    ) -> Response<SseBody<C>> {
        let mut response = response.map(drop);
        headers::allow_chunks(response.version_mut());
        if let Some(OnRefusal(on_refusal)) = response.extensions_mut().remove() {
            on_refusal();
        }
        let shutdown = self.shutdown_wait();
        match reason {
            NotOpened::NotAcceptable => {
                let mut response = without_body(response, StatusCode::NOT_ACCEPTABLE);
                response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
                response
            }
            NotOpened::Unavailable => {
                self.stats.refused();
                debug!("an event stream was refused");
                self.refusal.refuse(response, request.client, last_id, shutdown)
            }
            NotOpened::Limited => {
                self.stats.refused();
                debug!("an event stream was refused at the limit of a subject");
                let refusal = Refusal::too_many_requests();
                refusal.refuse(response, request.client, last_id, shutdown)
            }
        }
    }

    pub(super) fn open(
        &self,
        options: &Arc<ResolvedOptions>,
        permit: Option<OwnedSemaphorePermit>,
        disconnect: Option<DisconnectGuard>,
        observation: Option<Box<Observation>>,
    ) -> StreamRecord {
        let (stats, options) = (self.stats.clone(), Arc::clone(options));
        StreamRecord::open(stats, &self.on_open, options, disconnect, permit, observation)
    }

    /// Returns whether every request may need an `InFlight`.
    pub(super) fn tracks_all(&self) -> bool {
        let sets_label_or_kind = self.label.is_some() || self.options.merged.client_kind.is_some();
        self.track_disconnects || self.timings || self.streams.is_some() || sets_label_or_kind
    }
}

/// Adds options that the request doesn't have yet.
fn add_options<B>(request: &mut Request<B>, options: &StreamOptions) {
    let own: StreamOptions = request.extensions_mut().remove().unwrap_or_default();
    request.extensions_mut().insert(own.or(options));
}

#[derive(Clone, Copy)]
pub(super) enum NotOpened {
    NotAcceptable,
    /// The server is shutting down, or the limit of open streams is reached.
    Unavailable,
    Limited,
}

pub(super) fn without_body<B, C>(
    mut response: Response<B>,
    status: StatusCode,
) -> Response<SseBody<C>> {
    *response.status_mut() = status;
    headers::make_empty(response.headers_mut());
    response.map(|_| SseBody::empty())
}

/// The facts about a request that determine its response.
#[derive(Clone, Copy)]
pub(super) struct RequestInfo {
    pub(super) client: ClientKind,
    /// Whether the request arrived after the shutdown had begun.
    pub(super) arrived_during_shutdown: bool,
    /// Whether the stream opens even if the shutdown has begun since the request arrived. `true`
    /// for a call, on which the handler has already acted. Set to `true` at the response head if a
    /// shutdown doesn't end the stream at once, or if an early head waits for a run.
    pub(super) has_drain: bool,
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
        let client = ClientKind::of_scanned(method, headers, scan);
        Self {
            client,
            arrived_during_shutdown: config.is_draining(),
            has_drain: client.is_call(),
            is_head: method == Method::HEAD,
            accepts_stream: !config.require_accept || accepts_event_stream(headers),
        }
    }
}
