use futures_core::Stream;

/// A function or closure without arguments that returns the stream of a run.
///
/// All such functions implement it, and nothing else can.
/// [`Runs::start`](super::Runs::start) requires it instead of `FnOnce`, so that the compiler's error
/// for a stream or an async closure says what to pass.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function that returns a stream of events",
    label = "not the source of a run",
    note = "pass a closure that returns the stream, which is called only if a run is started: \
            `|| stream`",
    note = "a source that must await before it has a stream, such as a request to an upstream, is \
            for `Runs::start_with`, which takes `|| async {{ Result<Stream, Response> }}`"
)]
pub trait RunSource: FnOnce() -> Self::Stream {
    /// The stream whose events are recorded.
    type Stream: Stream;
}

// Otherwise the compiler would report that `FnOnce` or `Stream` is not implemented.
#[diagnostic::do_not_recommend]
impl<F: FnOnce() -> S, S: Stream> RunSource for F {
    type Stream = S;
}
