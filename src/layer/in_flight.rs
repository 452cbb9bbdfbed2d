use http::Request;

use super::{Config, NotOpened, RequestInfo};
use crate::{
    body::StreamRecord,
    connection::{CloseReason, Disconnect, DisconnectGuard},
};

/// A tracked response whose head is awaited. Each variant holds what its end is reported to.
pub(super) enum InFlight {
    /// The guard of this layer's `Disconnect`.
    Disconnect(DisconnectGuard),
    /// The record of a stream that opened when the service was called, because the service returns
    /// bare streams.
    Stream(StreamRecord),
}

impl InFlight {
    /// Starts tracking the response to a request, unless an outer layer tracks it. If the service
    /// returns bare streams, this also opens or refuses the stream.
    #[cold]
    pub(super) fn track<B>(
        config: &Config,
        request: &mut Request<B>,
        info: RequestInfo,
        returns_streams: bool,
    ) -> Result<Option<Box<Self>>, NotOpened> {
        let permit = if returns_streams { config.admit(info)? } else { None };
        let guard = if request.extensions().get::<Disconnect>().is_some() {
            None
        } else {
            let disconnect = Disconnect::new();
            request.extensions_mut().insert(disconnect.clone());
            Some(DisconnectGuard::new(disconnect))
        };
        let in_flight = if returns_streams && !info.is_head {
            Some(Self::Stream(config.open(&config.options, permit, guard)))
        } else {
            guard.map(Self::Disconnect)
        };
        Ok(in_flight.map(Box::new))
    }

    /// Polls the inner service's future with `call`. If it panics, the reason becomes
    /// [`CloseReason::Panicked`].
    pub(super) fn noting_panic<T>(&mut self, call: impl FnOnce() -> T) -> T {
        match self {
            Self::Disconnect(guard) => guard.noting_panic(call),
            Self::Stream(record) => record.noting_panic(call),
        }
    }

    /// Ends the response with this reason.
    pub(super) fn end(self, reason: CloseReason) {
        match self {
            Self::Disconnect(mut guard) => guard.set_reason(reason),
            Self::Stream(mut record) => record.set_reason(reason),
        }
    }
}
