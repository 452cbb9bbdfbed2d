/// The kind of a line, which its first bytes determine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LineKind {
    #[default]
    Empty,
    /// The line so far is a prefix of the word `retry`, of this length.
    RetryPrefix(u8),
    /// A comment or a `retry` field, which belongs to no event.
    NonEvent,
    /// Any other field.
    Field,
}

const RETRY: &[u8] = b"retry";

impl LineKind {
    /// Returns the kind of the line once `bytes` are appended to it.
    pub(super) fn extended(self, bytes: &[u8]) -> Self {
        match (self, bytes) {
            (line @ (Self::NonEvent | Self::Field), _) | (line, []) => line,
            (Self::Empty, [b':', ..]) => Self::NonEvent,
            (Self::Empty, bytes) => Self::RetryPrefix(0).extended(bytes),
            (Self::RetryPrefix(matched), bytes) => {
                let awaited = RETRY.get(usize::from(matched)..).unwrap_or_default();
                let common =
                    awaited.iter().zip(bytes).take_while(|(word, byte)| word == byte).count();
                match bytes.get(common..) {
                    Some([]) | None => Self::RetryPrefix(matched + common as u8),
                    Some([b':', ..]) if common == awaited.len() => Self::NonEvent,
                    Some(_) => Self::Field,
                }
            }
        }
    }

    /// Returns whether this complete line is empty or belongs to an event.
    pub(super) fn is_of_event(self) -> bool {
        self != Self::NonEvent && self != Self::RetryPrefix(RETRY.len() as u8)
    }
}
