use super::stream_id::StreamId;

/// A script that removes entries that are too old, and returns the number of remaining entries, the
/// id of the oldest one, and the memory of the stream in bytes.
///
/// It keeps the newest of the entries that are too old: a reader that has read them all finds its
/// place by that one, and a stream without entries looks lost. The memory is unknown if the user may
/// not ask for it. The script writes only if it trims, so that it also runs while the server accepts
/// no writes.
pub(crate) const SURVEY: &str = include_str!("lua/survey.lua");

/// The state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) entries: u64,
    pub(crate) oldest: StreamId,
    /// `None` if it is unknown.
    pub(crate) memory: Option<u64>,
}
