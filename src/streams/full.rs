use std::{error::Error, fmt, sync::Arc};

/// A subject that has as many open streams as its [limit](super::StreamsBuilder::limit) allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    pub(super) subject: Arc<str>,
    pub(super) prefix: Arc<str>,
    pub(super) limit: usize,
}

impl Full {
    /// Returns the subject.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the prefix of its limit.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the limit.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the subject, which can be an address or a name.
        write!(f, "a subject with the prefix {:?} has {} open streams", self.prefix, self.limit)
    }
}

impl Error for Full {}
