use http::Request;
use tower_layer::Layer;

use super::RunService;
use crate::runs::{InvalidKey, RunKey, Runs};

impl Runs {
    /// Creates a layer that makes the event streams of a service resumable without a change to the
    /// service.
    ///
    /// `key` returns the key of a request's run, or `None` for a request that passes unchanged. The
    /// layer answers a request whose key is [invalid](crate::runs::InvalidKey) with `400`. `HEAD` and
    /// `OPTIONS` always pass. Put the layer inside of [`SseLayer`](crate::SseLayer) and
    /// of layers that authenticate. [`RunLayer`] documents how requests and responses are handled.
    ///
    /// ```
    /// use axum::{Router, body::Body, routing::post};
    /// use http::Request;
    /// use tower_sse::{SseLayer, runs::{InvalidKey, RunKey, Runs}};
    /// # async fn chat() {}
    ///
    /// fn key(request: &Request<Body>) -> Option<Result<RunKey, InvalidKey>> {
    ///     let user = request.extensions().get::<UserId>()?;
    ///     let name = request.headers().get("x-run-id")?.to_str().ok()?;
    ///     Some(RunKey::new(&user.0, name))
    /// }
    ///
    /// #[derive(Clone)]
    /// struct UserId(String); // inserted by a layer that authenticates
    ///
    /// let runs = Runs::new();
    /// let app: Router =
    ///     Router::new().route("/chat", post(chat)).layer(runs.layer(key)).layer(SseLayer::new());
    /// ```
    pub fn layer<K, B>(&self, key: K) -> RunLayer<K>
    where
        K: Fn(&Request<B>) -> Option<Result<RunKey, InvalidKey>>,
    {
        RunLayer::new(self.clone(), key)
    }
}

/// A layer that makes the event streams of a service resumable, created by
/// [`Runs::layer`](crate::runs::Runs::layer).
///
/// # Requests
///
/// - A request without a key passes unchanged, as do `HEAD` and `OPTIONS`. All other methods can
///   start a run, so return no key for a `DELETE` that is to stop one.
/// - A request with an [invalid](crate::runs::InvalidKey) key gets `400`. Without a record, its client
///   would try in vain to resume the answer.
/// - The first request with a key calls the service, on a task of its own. Other requests with the
///   same key wait for the response head, and then get the same events.
/// - A request with a last event id never reaches the service. The id comes from the header, or
///   from the query if an outer [`SseLayer`](crate::SseLayer) has read it there.
/// - The [`Disconnect`](crate::Disconnect) in the service's request fires when the run is over, not
///   when a client leaves.
///
/// [`Runs`](crate::runs::Runs#answers) has the table of all answers.
///
/// # Responses
///
/// - An event stream with status 200 and no content coding is recorded. The first client gets the
///   service's response head. Other clients get the headers of an event stream and the handler's
///   [`StreamOptions`](crate::StreamOptions), except for `max_age`, `end_when` and `on_close`, which
///   apply only to the first client.
/// - Any other response, a [`Refusal`](crate::Refusal) or an error goes to the first client, and
///   the key is free again. One of the waiting requests then calls the service.
/// - If the service panics before it answers, the panic propagates to the first client's future,
///   and the key is free again. A later panic fails the run.
///
/// The source's comments and ids are not recorded. Each event gets an id of the run as its last
/// line.
///
/// # Services
///
/// The call runs on a task. The service must therefore be `Clone`, and the service, its future, its
/// errors and all bodies must be `Send` and `'static`. Task-locals that an outer layer has set are
/// not available to the call. A timeout layer outside of this one ends a client's wait, but not the
/// call.
pub struct RunLayer<K> {
    runs: Runs,
    key: K,
}

impl<K> RunLayer<K> {
    pub(crate) const fn new(runs: Runs, key: K) -> Self {
        Self { runs, key }
    }
}

impl<S, K: Clone> Layer<S> for RunLayer<K> {
    type Service = RunService<S, K>;

    fn layer(&self, inner: S) -> RunService<S, K> {
        RunService::new(inner, self.runs.clone(), self.key.clone())
    }
}

impl<K: Clone> Clone for RunLayer<K> {
    fn clone(&self) -> Self {
        Self::new(self.runs.clone(), self.key.clone())
    }
}

opaque_debug!(RunLayer<K>);
