use http::Request;

use super::{Config, NotOpened, RequestInfo};
use crate::{
    body::StreamRecord,
    connection::{CloseReason, Disconnect, DisconnectGuard},
    streams::Subjects,
};

/// What belongs to a response whose head is awaited.
pub(super) struct InFlight {
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
    /// Starts tracking the response to a request, unless an outer layer tracks it, and takes the
    /// subjects of the request. If the service returns bare streams, this also opens or refuses the
    /// stream.
    #[cold]
    pub(super) fn track<B>(
        config: &Config,
        request: &mut Request<B>,
        info: RequestInfo,
        returns_streams: bool,
    ) -> Result<Option<Box<Self>>, NotOpened> {
        let permit = if returns_streams { config.admit(info)? } else { None };
        let subjects = match &config.streams {
            Some(streams) => Some(streams.subjects_of(request)),
            None => request.extensions().get().cloned(),
        };
        let is_tracked = returns_streams || config.track_disconnects;
        let guard = if !is_tracked || request.extensions().get::<Disconnect>().is_some() {
            None
        } else {
            let disconnect = Disconnect::new();
            request.extensions_mut().insert(disconnect.clone());
            Some(DisconnectGuard::new(disconnect))
        };
        let tracked = if returns_streams && !info.is_head {
            Some(Tracked::Stream(config.open(&config.options, permit, guard)))
        } else {
            guard.map(Tracked::Disconnect)
        };
        let is_empty = tracked.is_none() && subjects.is_none();
        Ok((!is_empty).then(|| Box::new(Self { tracked, subjects })))
    }

    /// Polls the inner service's future with `call`. If it panics, the reason becomes
    /// [`CloseReason::Panicked`].
    pub(super) fn noting_panic<T>(&mut self, call: impl FnOnce() -> T) -> T {
        match &mut self.tracked {
            None => call(),
            Some(Tracked::Disconnect(guard)) => guard.noting_panic(call),
            Some(Tracked::Stream(record)) => record.noting_panic(call),
        }
    }

    /// Ends the response with this reason.
    pub(super) fn end(self, reason: CloseReason) {
        if let Some(tracked) = self.tracked {
            tracked.end(reason);
        }
    }
}

impl Tracked {
    /// Ends the response with this reason.
    pub(super) fn end(self, reason: CloseReason) {
        match self {
            Self::Disconnect(mut guard) => guard.set_reason(reason),
            Self::Stream(mut record) => record.set_reason(reason),
        }
    }
}
