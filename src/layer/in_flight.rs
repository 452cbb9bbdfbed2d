use crate::{
    body::StreamRecord,
    connection::{CloseReason, DisconnectGuard},
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
