use std::{error::Error, fmt};

/// The error for an event that is larger than the limit, such as
/// [`Decoder::max_event_size`](crate::Decoder::max_event_size).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTooLarge {
    pub(super) max_event_size: usize,
}

impl EventTooLarge {
    /// Returns the limit, in bytes.
    #[must_use]
    pub const fn max_event_size(&self) -> usize {
        self.max_event_size
    }
}

impl fmt::Display for EventTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event is larger than {} bytes", self.max_event_size)
    }
}

impl Error for EventTooLarge {}
