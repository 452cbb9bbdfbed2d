use std::hash::{DefaultHasher, Hash, Hasher};

use super::stream_id::StreamId;

/// An entry's id and a fingerprint of its fields.
///
/// The id alone does not identify an entry: Redis can assign it again after it has returned to an
/// older state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: StreamId,
    pub(crate) fingerprint: u64,
}

impl Identity {
    /// Returns whether `entry`, which has this id, is this entry.
    pub(crate) fn is_met_by(&self, entry: &Self) -> bool {
        self == entry
    }
}

/// A hash of fields that is computed one by one.
#[derive(Default)]
pub(crate) struct Fingerprint(DefaultHasher);

impl Fingerprint {
    pub(crate) fn add(&mut self, field: &[u8]) {
        field.hash(&mut self.0);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finish()
    }
}
