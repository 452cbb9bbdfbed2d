use crate::{
    body::StreamRecord,
    connection::{CloseReason, Disconnect, DisconnectGuard},
};

/// A tracked response whose head is awaited. Each variant holds what its end is reported to.
pub(super) enum InFlight {
    /// The `Disconnect` of an outer layer. That layer fires it unless the response is a stream of
    /// this layer.
    OuterDisconnect(Disconnect),
    /// The guard of this layer's own `Disconnect`.
    Disconnect(DisconnectGuard),
    /// The record of a stream that opened when the service was called, because the service returns
    /// bare streams.
    Stream(StreamRecord),
}

impl InFlight {
    /// Returns the guard for the record of a response that turns out to be a stream.
    pub(super) fn into_guard(self) -> Option<DisconnectGuard> {
        match self {
            Self::OuterDisconnect(disconnect) => Some(DisconnectGuard::fired_outside(disconnect)),
            Self::Disconnect(guard) => Some(guard),
            Self::Stream(_) => None,
        }
    }

    /// Uses the reason that an inner layer reports, because the response is a stream of that layer.
    pub(super) const fn prefer_inner_reason(&mut self) {
        if let Self::Disconnect(guard) = self {
            guard.prefer_inner_reason();
        }
    }

    /// Polls the inner service's future with `call`. If it panics, the reason becomes
    /// [`CloseReason::Panicked`].
    pub(super) fn noting_panic<T>(&mut self, call: impl FnOnce() -> T) -> T {
        match self {
            Self::OuterDisconnect(_) => call(),
            Self::Disconnect(guard) => guard.noting_panic(call),
            Self::Stream(record) => record.noting_panic(call),
        }
    }

    /// Ends the response with this reason.
    pub(super) fn end(self, reason: CloseReason) {
        match self {
            Self::OuterDisconnect(_) => {}
            Self::Disconnect(mut guard) => guard.set_reason(reason),
            Self::Stream(mut record) => record.set_reason(reason),
        }
    }
}
