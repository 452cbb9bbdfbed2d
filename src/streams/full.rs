use std::{error::Error, fmt, sync::Arc};

/// A subject that has as many open streams as its [limit](super::StreamsBuilder::limit) allows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Full {
    /// The subject.
    pub subject: Arc<str>,
    /// The prefix of its limit.
    pub prefix: Arc<str>,
    /// The limit.
    pub limit: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the subject, which can be an address or a name.
        write!(f, "a subject with the prefix {:?} has {} open streams", self.prefix, self.limit)
    }
}

impl Error for Full {}
