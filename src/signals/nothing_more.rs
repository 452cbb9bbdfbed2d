/// The mark of a response whose client has received everything that its stream will ever have. It is
/// an extension of the response. An empty stream alone means nothing: handlers that a client polls
/// return them on purpose.
#[derive(Clone, Copy)]
pub(crate) struct NothingMore;
