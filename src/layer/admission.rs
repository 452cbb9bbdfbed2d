use std::sync::Arc;

use http::{HeaderMap, Method};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::Config;
use crate::{
    body::{Report, Rules},
    connection::{Client, DisconnectGuard, accepts_event_stream},
};

/// What a request asks for, as far as it matters once its response has a head.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) client: Client,
    pub(super) head: bool,
    pub(super) acceptable: bool,
}

/// Why a stream is not opened.
#[derive(Clone, Copy)]
pub(super) enum Refused {
    NotAcceptable,
    /// The server is shutting down, or as many streams are open as may be.
    NoPlace,
}

/// A place among as many streams as may be open; nothing where they are not counted.
pub(super) type Place = Option<OwnedSemaphorePermit>;

impl Config {
    #[inline]
    pub(super) fn asked(&self, method: &Method, headers: &HeaderMap) -> Asked {
        // Most responses are no event streams, so nothing is looked up that no option needs.
        let matters =
            self.shutdown.is_some() || self.places.is_some() || self.rules.mentions_max_age();
        Asked {
            client: if matters { Client::of(method, headers) } else { Client::unasked(method) },
            head: method == Method::HEAD,
            acceptable: !self.require_accept || accepts_event_stream(headers),
        }
    }

    /// May a stream be opened that is the answer to a request that asked so?
    pub(super) fn admit(&self, asked: Asked) -> Result<Place, Refused> {
        if !asked.acceptable {
            return Err(Refused::NotAcceptable);
        }
        if asked.head {
            return Ok(None);
        }
        if self.shutdown.as_ref().is_some_and(CancellationToken::is_cancelled) {
            return Err(Refused::NoPlace);
        }
        match &self.places {
            None => Ok(None),
            Some(places) => match Arc::clone(places).try_acquire_owned() {
                Ok(place) => Ok(Some(place)),
                Err(_) => Err(Refused::NoPlace),
            },
        }
    }

    pub(super) fn open(
        &self,
        rules: &Rules,
        place: Place,
        disconnect: Option<DisconnectGuard>,
    ) -> Report {
        let on_open = self.on_open.as_deref();
        Report::open(self.stats.clone(), on_open, rules.on_close(), disconnect, place)
    }
}
