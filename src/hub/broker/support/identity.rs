/// The number of an entry and a fingerprint of its content.
///
/// The number alone does not identify an entry: a server can assign it again after it has returned to
/// an older state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The number of the entry in the log.
    pub number: u64,
    /// A hash of its content.
    pub fingerprint: u64,
}
