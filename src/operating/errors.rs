//! Errors of the source: what clients see when a stream fails, and how to turn an error into an
//! event.
//!
//! # What clients see
//!
//! The events before an error are sent first. If the source fails between events, the options
//! decide what follows:
//!
//! | error | the stream |
//! |---|---|
//! | a failure, without [`on_error`](SseLayer::on_error) | fails, so that clients notice and reconnect |
//! | a failure, with `on_error` | sends the event that the closure returns, and ends cleanly |
//! | a cancellation, for an `EventSource` | ends cleanly |
//! | a cancellation, for any other client | fails |
//!
//! - Mid-event, or with a content coding, every error fails the stream, because the layer can write
//!   no event there.
//! - The close report has the reason [`Failed`](CloseReason::Failed) or
//!   [`Cancelled`](CloseReason::Cancelled).
//!
//! # The error of the program
//!
//! Hosts wrap the errors of bodies: axum in an `axum::Error`, tonic in a `Status`. The closures of
//! the layer receive the error that the program's stream returned:
//!
//! - **For a stream of events**, such as that of [`response`](crate::response), the wrappers of every
//!   host are removed.
//! - **For any other body**, such as that of axum's `Sse`, feature `axum` removes `axum::Error` and
//!   what is around it. Without the feature, the closures receive the wrapper.
//! - **For a [run](crate::runs)** whose source has failed, `on_error` receives the error of the source
//!   for each client in the same process, and a [`RunError`](crate::runs::RunError) with its text in
//!   all others. `cancellation_if` receives the `RunError` in every process: a cancellation of the
//!   source is a failure for the clients.
//!
//! # Cancellations
//!
//! A cancellation is the error of a task that the program itself cancelled, or an error for which
//! [`cancellation_if`](SseLayer::cancellation_if) returns `true`. Return `true` only for errors
//! that nothing but the program can cause. It is called with the error that the stream returned and
//! with each of its causes, whichever host wraps them. For tonic and hyper:
//!
//! ```
//! use std::error::Error;
//!
//! use tonic::{Code, Status};
//! use tower_sse::SseLayer;
//!
//! fn is_cancellation(error: &(dyn Error + 'static)) -> bool {
//!     // tonic reports timeouts as `Cancelled` too, so use this only for calls without a timeout.
//!     error.downcast_ref::<Status>().is_some_and(|status| status.code() == Code::Cancelled)
//!         // The program dropped the request. An upstream that breaks off is another error.
//!         || error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
//! }
//!
//! # let layer: SseLayer =
//! SseLayer::new().cancellation_if(is_cancellation);
//! ```
//!
//! `io::Error::other(join_error)` keeps the error of a cancelled task. tokio's
//! `io::Error::from(join_error)`, which `?` calls, keeps only its text, so the layer cannot
//! recognise it.
//!
//! # Stopping a stream
//!
//! A stream that ends early has still ended cleanly, for example by `take_until`: a
//! [`terminator`](SseLayer::terminator) follows, and the partial answer looks complete. Stop it by an
//! error that is a cancellation:
//!
//! ```
//! use std::{error::Error, fmt};
//!
//! use futures_util::{Stream, StreamExt, stream};
//! use tokio_util::sync::CancellationToken;
//! use tower_sse::{Event, SseLayer};
//!
//! #[derive(Debug)]
//! struct Stopped;
//!
//! impl fmt::Display for Stopped {
//!     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
//!         f.write_str("the answer was stopped")
//!     }
//! }
//!
//! impl Error for Stopped {}
//!
//! fn until_stopped(
//!     events: impl Stream<Item = Event> + Unpin,
//!     stop: CancellationToken,
//! ) -> impl Stream<Item = Result<Event, Stopped>> {
//!     stream::unfold(Some((events, stop)), |open| async {
//!         let (mut events, stop) = open?;
//!         tokio::select! {
//!             event = events.next() => Some((Ok(event?), Some((events, stop)))),
//!             () = stop.cancelled() => Some((Err(Stopped), None)),
//!         }
//!     })
//! }
//!
//! # let layer: SseLayer =
//! SseLayer::new().terminator("[DONE]").cancellation_if(|error| error.is::<Stopped>());
//! # _ = until_stopped(stream::empty(), CancellationToken::new());
//! ```
//!
//! # `BroadcastStream` and `Lagged`
//!
//! A `BroadcastStream` returns the error `Lagged` if its client was too slow and lost messages. If
//! the handler passes the error on, the stream fails. If it ignores the error, the client does not
//! notice the gap. Instead, send an event at which the page loads its state again:
//!
//! ```
//! use futures_util::{Stream, StreamExt};
//! use tokio::sync::broadcast;
//! use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError::Lagged};
//! use tower_sse::{Encoded, Event};
//!
//! fn events(messages: broadcast::Receiver<Encoded>) -> impl Stream<Item = Encoded> {
//!     BroadcastStream::new(messages).map(|message| {
//!         message.unwrap_or_else(|Lagged(lost)| {
//!             Encoded::from(Event::new().event("gap").data(lost.to_string()))
//!         })
//!     })
//! }
//! ```
//!
//! A [hub](crate::hub) reports gaps by itself.
//!
//! # Upstreams
//!
//! An upstream that breaks off fails the stream, with two exceptions. hyper ends a body cleanly if
//! its HTTP/2 stream was reset with `NO_ERROR` ([RFC 9113, section
//! 8.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.1)). A body that is delimited by the end of
//! its connection, as over HTTP/1.0, also looks complete when it breaks off.
//!
//! # Timing
//!
//! Before a body fails, it waits until the server has dropped the buffer of the body's last bytes,
//! but at most a second. It fails 20 milliseconds after the drop. Behind a compressor it waits the
//! whole second: the compressor sends these bytes, but releases their buffer only when it gets the
//! next one.
//!
//! # Logs
//!
//! A body that fails is reported as follows:
//!
//! - **hyper over HTTP/1**: `serve_connection` returns an error, `error from user's Body stream`,
//!   for which `hyper::Error::is_user` returns `true`. axum drops it.
//! - **hyper over HTTP/2**: nothing. The stream is reset with `INTERNAL_ERROR`.
//! - **nginx**: `upstream prematurely closed connection` at level `error`. It also cuts the
//!   client's connection.

// Names for the links above.
#[allow(unused_imports)]
use crate::{CloseReason, SseLayer};
