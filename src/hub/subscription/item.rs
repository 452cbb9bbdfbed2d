use crate::event::Encoded;

/// An item of a subscription.
pub(super) enum Item {
    /// One or more events that were published.
    Events(Encoded),
    /// One or more gaps, or the greeting.
    Notice(Encoded),
}

impl Item {
    #[inline]
    pub(super) fn into_bytes(self) -> Encoded {
        match self {
            Self::Events(bytes) | Self::Notice(bytes) => bytes,
        }
    }
}
