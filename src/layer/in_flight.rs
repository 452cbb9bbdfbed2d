use std::sync::Arc;

use http::Request;

use super::{Config, NotOpened, RequestInfo};
use crate::{
    body::StreamRecord,
    connection::{CloseReason, Disconnect, DisconnectGuard},
    streams::Subjects,
};

/// What belongs to a response until its stream opens or it passes through.
pub(super) struct InFlight {
    pub(super) config: Arc<Config>,
    pub(super) request: RequestInfo,
    /// The tracked response, until its stream opens or it ends.
    pub(super) tracked: Option<Tracked>,
    /// The subjects of its stream, if it opens one.
    pub(super) subjects: Option<Subjects>,
}

/// A tracked response. Each variant holds what its end is reported to.
pub(super) enum Tracked {
    /// The guard of this layer's `Disconnect`.
    Disconnect(DisconnectGuard),
    /// The record of a stream that opened when the service was called, because the service returns
    /// bare streams.
    Stream(StreamRecord),
}

impl InFlight {
    pub(super) fn new(
        config: &Arc<Config>,
        request: RequestInfo,
        tracked: Option<Tracked>,
        subjects: Option<Subjects>,
    ) -> Self {
        Self { config: Arc::clone(config), request, tracked, subjects }
    }

    /// Starts tracking the response to a request, unless an outer layer tracks it, and takes the
    /// subjects of the request.
    #[cold]
    pub(super) fn track<B>(
        config: &Arc<Config>,
        request: &mut Request<B>,
        info: RequestInfo,
    ) -> Option<Box<Self>> {
        let subjects = config.subjects_of(request);
        let guard = if config.track_disconnects { insert_disconnect(request) } else { None };
        let tracked = guard.map(Tracked::Disconnect);
        let is_empty = tracked.is_none() && subjects.is_none();
        (!is_empty).then(|| Box::new(Self::new(config, info, tracked, subjects)))
    }

    /// Opens or refuses the stream that the service will return.
    pub(super) fn open<B>(
        config: &Arc<Config>,
        request: &mut Request<B>,
        info: RequestInfo,
    ) -> Result<Box<Self>, NotOpened> {
        let permit = config.admit(info)?;
        let subjects = config.subjects_of(request);
        let guard = insert_disconnect(request);
        let tracked = if info.is_head {
            guard.map(Tracked::Disconnect)
        } else {
            Some(Tracked::Stream(config.open(&config.options, permit, guard)))
        };
        Ok(Box::new(Self::new(config, info, tracked, subjects)))
    }

    /// Polls the inner service's future with `call`. If it panics, the reason becomes
    /// [`CloseReason::Panicked`].
    pub(super) fn noting_panic<T>(&mut self, call: impl FnOnce() -> T) -> T {
        match &mut self.tracked {
            None => call(),
            Some(tracked) => tracked.reason().noting_panic(call),
        }
    }

    /// Ends the response with this reason.
    pub(super) fn end(&mut self, reason: CloseReason) {
        if let Some(mut tracked) = self.tracked.take() {
            *tracked.reason() = reason;
        }
    }
}

impl Tracked {
    /// Returns the reason that is reported when it is dropped.
    const fn reason(&mut self) -> &mut CloseReason {
        match self {
            Self::Disconnect(guard) => &mut guard.reason,
            Self::Stream(record) => &mut record.reason,
        }
    }
}

/// Inserts a `Disconnect` into a request, unless it has one of an outer layer.
fn insert_disconnect<B>(request: &mut Request<B>) -> Option<DisconnectGuard> {
    let is_tracked = request.extensions().get::<Disconnect>().is_some();
    (!is_tracked).then(|| DisconnectGuard::insert(request.extensions_mut()))
}

impl Config {
    fn subjects_of<B>(&self, request: &mut Request<B>) -> Option<Subjects> {
        match &self.streams {
            Some(streams) => Some(streams.subjects_of(request)),
            None => request.extensions().get().cloned(),
        }
    }
}
