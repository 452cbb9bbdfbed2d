use http::Extensions;
use tokio_util::sync::CancellationToken;

use crate::{callback::without_panic, wake::catching_wakes};

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
/// - For an event stream: when the stream closes. If the handler doesn't read the whole body of a
///   POST request, hyper may notice late that [the client has
///   left](crate::guide::clients#clients-that-disconnect).
/// - For an event stream that the layer [refuses](crate::Refusal#what-is-refused) or replaces by a
///   `406`: when it does so.
/// - For any other body: when it's dropped.
/// - For a response to `HEAD`, and for a status without a body, such as `204` or `101`: when the
///   layer returns the response head.
///
/// If two layers track the same response, only the outer one fires the signal. That layer treats
/// the inner layer's event stream like any other body.
#[derive(Clone, Debug)]
pub struct Disconnect {
    token: CancellationToken,
}

impl Disconnect {
    /// Waits until the response is over; returns at once if it already is.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped and the method called again at any time.
    pub async fn cancelled(&self) {
        catching_wakes(self.token.cancelled()).await;
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
}

/// A guard that fires a [`Disconnect`] when it is dropped.
#[derive(Debug)]
pub(crate) struct DisconnectGuard(CancellationToken);

impl DisconnectGuard {
    /// Creates a `Disconnect` in the extensions of a request and returns its guard.
    pub(crate) fn insert(extensions: &mut Extensions) -> Self {
        let token = CancellationToken::new();
        extensions.insert(Disconnect { token: token.clone() });
        Self(token)
    }
}

impl Drop for DisconnectGuard {
    fn drop(&mut self) {
        // A waker can panic.
        without_panic(|| self.0.cancel());
    }
}
