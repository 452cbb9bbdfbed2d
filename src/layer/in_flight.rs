use http::Request;

use super::Config;
use crate::{
    connection::{CloseReason, Disconnect, DisconnectGuard},
    streams::Subjects,
};

/// What belongs to a response whose head is awaited.
#[derive(Default)]
pub(super) struct InFlight {
    /// The guard of this layer's `Disconnect`.
    pub(super) guard: Option<DisconnectGuard>,
    /// The subjects of its stream, if it opens one.
    pub(super) subjects: Option<Subjects>,
}

impl InFlight {
    /// Starts tracking the response to a request, unless an outer layer tracks it, and takes the
    /// subjects of the request. Returns `None` if there is nothing to keep.
    #[cold]
    pub(super) fn track<B>(config: &Config, request: &mut Request<B>) -> Option<Box<Self>> {
        let subjects = match &config.streams {
            Some(streams) => Some(streams.subjects_of(request)),
            None => request.extensions().get().cloned(),
        };
        let is_tracked = config.track_disconnects;
        let guard = if !is_tracked || request.extensions().get::<Disconnect>().is_some() {
            None
        } else {
            let disconnect = Disconnect::new();
            request.extensions_mut().insert(disconnect.clone());
            Some(DisconnectGuard::new(disconnect))
        };
        let is_empty = guard.is_none() && subjects.is_none();
        (!is_empty).then(|| Box::new(Self { guard, subjects }))
    }

    /// Polls the inner service's future with `call`. If it panics, the reason becomes
    /// [`CloseReason::Panicked`].
    pub(super) fn noting_panic<T>(&mut self, call: impl FnOnce() -> T) -> T {
        match &mut self.guard {
            Some(guard) => guard.noting_panic(call),
            None => call(),
        }
    }

    /// Ends the response with this reason.
    pub(super) fn end(&mut self, reason: CloseReason) {
        if let Some(mut guard) = self.guard.take() {
            guard.set_reason(reason);
        }
    }
}
