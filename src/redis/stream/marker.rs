use super::stream_id::StreamId;

/// A script that adds a marker: if the stream has no entries (`empty`), or if it has no marker after
/// the entry `read`.
///
/// The marker's id must be above all entries that may have been lost, and its writer may not know
/// the newest of them. It is in the next millisecond of the server's clock. If ids are ahead of the
/// clock, it is `leap`. If the stream already has a higher id, Redis assigns the next one.
pub(crate) const MARK: &str = include_str!("lua/mark.lua");

/// The condition for adding a marker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MarkIf {
    /// The stream has no entries.
    Empty,
    /// The stream has no marker after this entry, the last one that was read.
    NoneAfter(StreamId),
}

impl MarkIf {
    /// Returns the argument of the [script](MARK).
    pub(crate) fn argument(self) -> String {
        match self {
            Self::Empty => "empty".to_owned(),
            Self::NoneAfter(id) => id.to_string(),
        }
    }
}

/// Returns the text by which an entry that a hub adds differs from all others.
///
/// Two copies of the stream, or a stream and the one after its loss, can get such an entry with the
/// same id. A process that has read one of them must not take the other for it.
pub(crate) fn nonce() -> String {
    fastrand::u64(..).to_string()
}
