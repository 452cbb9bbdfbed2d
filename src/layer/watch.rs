use crate::{
    body::Report,
    connection::{CloseReason, Disconnect, DisconnectGuard},
};

/// Who is to be told when a response is over, while its head is awaited.
pub(super) enum Watch {
    /// The layer outside of this one made it, and fires it for responses that are no stream of ours.
    Outside(Disconnect),
    Disconnect(DisconnectGuard),
    /// A stream that is open already, because every answer of its service is one.
    Stream(Report),
}

impl Watch {
    /// The response becomes a stream, whose report tells its end.
    pub(super) fn into_disconnect(self) -> Option<Disconnect> {
        match self {
            Self::Outside(disconnect) => Some(disconnect),
            Self::Disconnect(guard) => guard.into_inner(),
            Self::Stream(_) => None,
        }
    }

    /// It is over, for this `reason`.
    pub(super) fn over(self, reason: CloseReason) {
        match self {
            Self::Outside(_) => {}
            Self::Disconnect(mut guard) => guard.expect(reason),
            Self::Stream(mut report) => report.expect(reason),
        }
    }
}
