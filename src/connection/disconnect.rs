use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

use tokio_util::sync::CancellationToken;

use super::CloseReason;

/// Tells a task that a handler has spawned when the response is over, so that it need not work for
/// nobody.
///
/// It fires when the response is over, however it ended: when the client has left, also before the
/// first byte and while the handler still runs, and when the stream came to its end.
/// [`reason`](Self::reason) tells which. The source stream itself needs no token: it is dropped.
///
/// Services that answer with a bare stream find it in the request's extensions. For all others
/// [`SseLayer::track_disconnects`](crate::SseLayer::track_disconnects) puts it there; with feature
/// `axum` it is an extractor then. For a response that is no event stream it fires when its body is
/// over, and for an upgrade (`101`) at the head: it knows nothing of what becomes of the connection. A
/// stream that is refused is over with [`Ended`](CloseReason::Ended). If the body does not tell its own
/// end ([`is_end_stream`](http_body::Body::is_end_stream)) and the
/// server leaves it after the last byte that `content-length` allows, the reason is
/// [`Disconnected`](CloseReason::Disconnected).
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
///                 () = disconnect.cancelled() => {} // Nobody waits for the result any more.
///                 () = Job::run() => {}
///             }
///         });
///     }
///     Ok(stream::empty())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Disconnect {
    token: CancellationToken,
    reasons: Arc<Reasons>,
}

#[derive(Debug, Default)]
struct Reasons {
    told: OnceLock<CloseReason>,
    /// What a layer further in knows of it.
    inner: Mutex<Option<CloseReason>>,
}

impl Disconnect {
    pub(crate) fn new() -> Self {
        Self { token: CancellationToken::new(), reasons: Arc::default() }
    }

    /// Waits until the response is over; returns at once if it already is.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again at any time.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// Is the response over?
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// A token that is cancelled when the response is over, for code that takes one. It is a child of
    /// the response's own: to cancel it ends nothing here.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Why the response is over; `None` while it is not.
    #[must_use]
    pub fn reason(&self) -> Option<CloseReason> {
        self.reasons.told.get().copied()
    }

    /// Another attempt is made at a response: of the one before nothing is known any more.
    pub(crate) fn start_over(&self) {
        *self.inner_reason() = None;
    }

    fn inner_reason(&self) -> MutexGuard<'_, Option<CloseReason>> {
        self.reasons.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fire(&self, reason: CloseReason) {
        _ = self.reasons.told.set(reason);
        self.token.cancel();
    }
}

/// Fires a [`Disconnect`] when it is dropped; or, if the layer outside of this one does that, leaves the
/// reason for it.
#[derive(Debug)]
pub(crate) struct DisconnectGuard {
    disconnect: Disconnect,
    outside: bool,
    /// The response is a stream of a layer further in, which knows better.
    follows: bool,
    reason: CloseReason,
}

impl DisconnectGuard {
    pub(crate) const fn new(disconnect: Disconnect) -> Self {
        Self { disconnect, outside: false, follows: false, reason: CloseReason::Disconnected }
    }

    /// The layer outside may make another attempt, so it alone knows when the response is over.
    pub(crate) const fn fired_outside(disconnect: Disconnect) -> Self {
        Self { disconnect, outside: true, follows: false, reason: CloseReason::Disconnected }
    }

    /// If a layer further in has left a reason by then, that is it.
    pub(crate) const fn follow(&mut self) {
        self.follows = true;
    }

    /// If it is dropped from now on, that is the `reason`.
    pub(crate) const fn set_reason(&mut self, reason: CloseReason) {
        self.reason = reason;
    }

    /// What a call returns. If it panics, that is the reason, wherever the guard is dropped.
    pub(crate) fn within<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let reason = mem::replace(&mut self.reason, CloseReason::Panicked);
        let returned = call();
        self.reason = reason;
        returned
    }
}

impl Drop for DisconnectGuard {
    fn drop(&mut self) {
        let unwinding = self.reason == CloseReason::Disconnected && thread::panicking();
        let reason = if unwinding { CloseReason::Panicked } else { self.reason };
        let inner = *self.disconnect.inner_reason();
        let reason = inner.filter(|_| self.follows).unwrap_or(reason);
        if self.outside {
            *self.disconnect.inner_reason() = Some(reason);
        } else {
            self.disconnect.fire(reason);
        }
    }
}
