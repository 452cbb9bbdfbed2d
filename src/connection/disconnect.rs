use std::sync::{Arc, OnceLock};

use http::Extensions;
use tokio_util::sync::CancellationToken;

use super::CloseReason;
use crate::callback::without_panic;

/// A signal that fires when the response is over, for tasks that the handler has spawned. It fires
/// no matter how the response ends, even before the first byte, or while the handler is still
/// running. The source stream needs no signal, because the server drops it with the response.
///
/// [`SseLayer::track_disconnects`](crate::SseLayer::track_disconnects) inserts the signal into the
/// request's extensions. Services that return a [bare
/// stream](crate::SseLayer#services-that-return-a-bare-stream) always get it. With the `axum`
/// feature, it's also an extractor. For a stream that a [`RunLayer`](crate::runs::RunLayer)
/// records, the signal fires when the run is over, not when the client disconnects.
///
/// ```
/// use std::convert::Infallible;
///
/// use futures_util::{Stream, stream};
/// use http::Request;
/// use tower_sse::{Disconnect, Event};
/// # struct Job;
/// # impl Job { async fn run() {} }
///
/// async fn events<B>(request: Request<B>) -> Result<impl Stream<Item = Event>, Infallible> {
///     if let Some(disconnect) = request.extensions().get::<Disconnect>().cloned() {
///         tokio::spawn(async move {
///             tokio::select! {
///                 () = disconnect.cancelled() => {} // No client is waiting for the result.
///                 () = Job::run() => {}
///             }
///         });
///     }
///     Ok(stream::empty())
/// }
/// ```
///
/// # When it fires
///
/// - For an event stream: when the stream closes, with the reason from its [`CloseReport`].
/// - For an event stream that the layer [refuses](crate::Refusal#what-is-refused): when it's
///   refused, with [`Ended`].
/// - For any other body: when it's dropped, with [`Ended`], [`Failed`], [`Panicked`] or
///   [`Disconnected`]. A server may drop a body after the last byte that `content-length` allows.
///   The reason is then [`Disconnected`], unless the body has reported its end, for example with
///   [`is_end_stream`](http_body::Body::is_end_stream).
/// - For a response to `HEAD`, and for a status without a body, such as `204` or `101`: when the
///   layer returns the response head, with [`Ended`].
///
/// If two layers track the same response, only the outer one fires the signal. That layer treats
/// the inner layer's event stream like any other body.
///
/// [`CloseReport`]: super::CloseReport
/// [`Ended`]: CloseReason::Ended
/// [`Failed`]: CloseReason::Failed
/// [`Panicked`]: CloseReason::Panicked
/// [`Disconnected`]: CloseReason::Disconnected
#[derive(Clone, Debug)]
pub struct Disconnect {
    token: CancellationToken,
    reason: Arc<OnceLock<CloseReason>>,
}

impl Disconnect {
    /// Waits until the response is over; returns at once if it already is.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped and the method called again at any time.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// Returns whether the response is over.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns a child token that is cancelled when the response is over. Cancelling it doesn't
    /// affect the response.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Returns why the response is over, or `None` if it isn't yet.
    #[must_use]
    pub fn reason(&self) -> Option<CloseReason> {
        self.reason.get().copied()
    }
}

/// A guard that fires a [`Disconnect`] when it is dropped.
#[derive(Debug)]
pub(crate) struct DisconnectGuard {
    disconnect: Disconnect,
    /// The reason that is reported when the guard is dropped.
    pub(crate) reason: CloseReason,
}

impl DisconnectGuard {
    /// Creates a `Disconnect` in the extensions of a request and returns its guard.
    pub(crate) fn insert(extensions: &mut Extensions) -> Self {
        let disconnect = Disconnect { token: CancellationToken::new(), reason: Arc::default() };
        extensions.insert(disconnect.clone());
        Self { disconnect, reason: CloseReason::Disconnected }
    }
}

impl Drop for DisconnectGuard {
    fn drop(&mut self) {
        self.reason.note_unwinding();
        _ = self.disconnect.reason.set(self.reason);
        // A waker can panic.
        without_panic(|| self.disconnect.token.cancel());
    }
}
