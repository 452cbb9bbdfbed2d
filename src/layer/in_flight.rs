use std::sync::Arc;

use http::Request;

use super::{Config, NotOpened, RequestInfo};
use crate::{
    body::{Observation, StreamRecord},
    connection::{CloseReason, Disconnect, DisconnectGuard},
    options::{ResolvedOptions, StreamOptions},
    streams::Unopened,
};

/// A response before its stream opens, or before it passes through.
pub(super) struct InFlight {
    pub(super) config: Arc<Config>,
    pub(super) request: RequestInfo,
    /// The tracked response, until its stream opens or it ends.
    pub(super) tracked: Option<Tracked>,
    /// The subjects of its stream, if it opens one.
    pub(super) subjects: Option<Unopened>,
    /// The options in the request, for its stream.
    pub(super) options: Option<StreamOptions>,
    /// What is observed of its stream, until that opens.
    pub(super) observation: Option<Box<Observation>>,
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
    pub(super) fn new(config: &Arc<Config>, request: RequestInfo) -> Self {
        let config = Arc::clone(config);
        Self { config, request, tracked: None, subjects: None, options: None, observation: None }
    }

    /// Starts tracking the response to a request, unless an outer layer tracks it, and takes the
    /// subjects and the options of the request.
    #[cold]
    pub(super) fn track<B>(
        config: &Arc<Config>,
        request: &mut Request<B>,
        info: RequestInfo,
    ) -> Option<Box<Self>> {
        let subjects = config.subjects_of(request);
        let options = request.extensions().get().cloned();
        let guard = if config.track_disconnects { insert_disconnect(request) } else { None };
        let tracked = guard.map(Tracked::Disconnect);
        let observation = config.observe(request);
        let is_untracked = tracked.is_none() && observation.is_none();
        if is_untracked && subjects.is_none() && options.is_none() {
            return None;
        }
        Some(Box::new(Self { tracked, subjects, options, observation, ..Self::new(config, info) }))
    }

    /// Opens or refuses the stream that the service will return.
    pub(super) fn open<B>(
        config: &Arc<Config>,
        request: &mut Request<B>,
        info: RequestInfo,
    ) -> Result<Box<Self>, NotOpened> {
        let permit = config.admit(info)?;
        let subjects = config.subjects_of(request);
        let options = request.extensions().get().cloned();
        let guard = insert_disconnect(request);
        let tracked = if info.is_head {
            guard.map(Tracked::Disconnect)
        } else {
            let options = ResolvedOptions::of_stream(&config.options, options.clone(), None);
            let observation = config.observe(request);
            Some(Tracked::Stream(config.open(&options, permit, guard, observation)))
        };
        Ok(Box::new(Self { tracked, subjects, options, ..Self::new(config, info) }))
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
