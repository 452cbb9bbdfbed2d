use super::{entry::RawEntry, identity::Identity, stream_id::StreamId};

/// The last entry that the reader has read.
///
/// The id alone does not identify an entry: a server that takes over with its clock behind can
/// assign the same id again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastEntry {
    pub(crate) id: StreamId,
    /// A hash of the fields, or `None` if only the id is known.
    fingerprint: Option<u64>,
}

impl LastEntry {
    pub(crate) const fn with_id(id: StreamId) -> Self {
        Self { id, fingerprint: None }
    }

    /// Returns whether `entry` is this entry.
    pub(crate) fn matches(&self, entry: &RawEntry) -> bool {
        self.id == entry.id
            && self.fingerprint.is_none_or(|fingerprint| fingerprint == entry.fingerprint())
    }
}

impl From<Identity> for LastEntry {
    fn from(Identity { id, fingerprint }: Identity) -> Self {
        Self { id, fingerprint: Some(fingerprint) }
    }
}

#[cfg(test)]
mod tests {
    use super::LastEntry;
    use crate::redis::{stream::RawEntry, stream::StreamId};

    fn entry(milliseconds: u64, fields: [&str; 2]) -> RawEntry {
        let fields = fields.iter().map(|field| field.as_bytes().to_vec()).collect();
        RawEntry { id: StreamId::at(milliseconds), fields }
    }

    #[test]
    fn entry_is_identified_by_its_id_and_fields() {
        let last = LastEntry::from(entry(1, ["data", "x"]).identity());
        assert!(last.matches(&entry(1, ["data", "x"])));
        assert!(!last.matches(&entry(2, ["data", "x"])));
        assert!(!last.matches(&entry(1, ["data", "y"])));
        assert!(!last.matches(&entry(1, ["datax", ""])));
        assert!(LastEntry::with_id(StreamId::at(1)).matches(&entry(1, ["data", "y"])));
    }
}
