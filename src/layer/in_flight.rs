use crate::{
    body::Report,
    connection::{CloseReason, Disconnect, DisconnectGuard},
};

/// What has to learn how a response ended, while its head is awaited.
pub(super) enum InFlight {
    /// An outer layer made it, and fires it for responses that are no stream of this layer.
    OuterDisconnect(Disconnect),
    Disconnect(DisconnectGuard),
    /// A stream that is open already, because every response of its service is one.
    Stream(Report),
}

impl InFlight {
    /// Returns the guard for a response that becomes a stream, whose report fires it.
    pub(super) fn into_guard(self) -> Option<DisconnectGuard> {
        match self {
            Self::OuterDisconnect(disconnect) => Some(DisconnectGuard::fired_outside(disconnect)),
            Self::Disconnect(guard) => Some(guard),
            Self::Stream(_) => None,
        }
    }

    /// Takes the reason from an inner layer, whose stream the response is.
    pub(super) const fn follow_inner(&mut self) {
        if let Self::Disconnect(guard) = self {
            guard.follow();
        }
    }

    /// Calls the inner service's future. If it panics, that is the reason.
    pub(super) fn within<T>(&mut self, call: impl FnOnce() -> T) -> T {
        match self {
            Self::OuterDisconnect(_) => call(),
            Self::Disconnect(guard) => guard.within(call),
            Self::Stream(report) => report.within_source(call),
        }
    }

    /// Ends it with this reason.
    pub(super) fn end(self, reason: CloseReason) {
        match self {
            Self::OuterDisconnect(_) => {}
            Self::Disconnect(mut guard) => guard.set_reason(reason),
            Self::Stream(mut report) => report.set_reason(reason),
        }
    }
}
