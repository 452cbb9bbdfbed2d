use std::sync::Arc;

use http::{HeaderMap, Method};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::Config;
use crate::{
    body::Report,
    connection::{Client, DisconnectGuard, accepts_event_stream},
    options::ResolvedOptions,
};

/// What a request asks for, as far as it matters once its response has a head.
#[derive(Clone, Copy)]
pub(super) struct RequestInfo {
    pub(super) client: Client,
    /// The server was shutting down when the request came.
    draining: bool,
    pub(super) head: bool,
    pub(super) acceptable: bool,
}

/// Why a stream is not opened.
#[derive(Clone, Copy)]
pub(super) enum Refused {
    NotAcceptable,
    /// The server is shutting down, or as many streams are open as may be.
    Unavailable,
}

/// A place among as many streams as may be open; nothing where they are not counted.
pub(super) type Permit = Option<OwnedSemaphorePermit>;

impl Config {
    #[inline]
    pub(super) fn request_info(&self, method: &Method, headers: &HeaderMap) -> RequestInfo {
        // Most responses are no event streams, so nothing is looked up that no option needs.
        let matters =
            self.shutdown.is_some() || self.places.is_some() || self.rules.mentions_max_age();
        let client =
            if matters { Client::of(method, headers) } else { Client::unclassified(method) };
        RequestInfo {
            client,
            draining: client.is_call() && self.is_draining(),
            head: method == Method::HEAD,
            acceptable: !self.require_accept || accepts_event_stream(headers),
        }
    }

    /// May a stream be opened that is the answer to a request that asked so?
    pub(super) fn admit(&self, request_info: RequestInfo) -> Result<Permit, Refused> {
        if !request_info.acceptable {
            return Err(Refused::NotAcceptable);
        }
        if request_info.head {
            return Ok(None);
        }
        if self.drains(request_info) {
            return Err(Refused::Unavailable);
        }
        match &self.places {
            None => Ok(None),
            Some(places) => match Arc::clone(places).try_acquire_owned() {
                Ok(place) => Ok(Some(place)),
                Err(_) => Err(Refused::Unavailable),
            },
        }
    }

    /// Is the shutdown a reason not to open a stream? Not for a call that has been working since before: it has
    /// had its effects.
    pub(super) fn drains(&self, request_info: RequestInfo) -> bool {
        if request_info.client.is_call() { request_info.draining } else { self.is_draining() }
    }

    fn is_draining(&self) -> bool {
        self.shutdown.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    pub(super) fn open(
        &self,
        rules: &ResolvedOptions,
        place: Permit,
        disconnect: Option<DisconnectGuard>,
    ) -> Report {
        Report::open(self.stats.clone(), &self.on_open, rules.on_close(), disconnect, place)
    }
}
