use std::cell::Cell;

thread_local! {
    /// Whether a source has reported, since the last question, that it has nothing more.
    static IS_REPORTED: Cell<bool> = const { Cell::new(false) };
}

/// The mark of a response whose client has received everything, so that it need not reconnect. It
/// is an extension of the response.
///
/// A source reports it when it is asked for its size. Stream adapters pass that question on, so the
/// report reaches the response through any number of them. An empty stream alone means nothing:
/// handlers that a client polls return them on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NothingMore;

impl NothingMore {
    /// Reports that the source whose size is asked has nothing more for its client, ever.
    #[allow(dead_code, reason = "the hub uses it")]
    pub(crate) fn report() {
        IS_REPORTED.set(true);
    }

    /// Calls `size_hint` of a stream. Returns the mark if the stream is empty because its source
    /// has nothing more.
    pub(crate) fn of(size_hint: impl FnOnce() -> (usize, Option<usize>)) -> Option<Self> {
        IS_REPORTED.set(false);
        let is_empty = size_hint().1 == Some(0);
        (IS_REPORTED.replace(false) && is_empty).then_some(Self)
    }
}
