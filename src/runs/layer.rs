use std::{any::type_name, fmt, sync::Arc};

use tower_layer::Layer;

use super::{RunService, shared::Shared};

/// The layer that [`Runs::layer`](super::Runs::layer) creates.
///
/// # Requests
///
/// - A request without a key passes unchanged, as do `HEAD` and `OPTIONS`. All other methods can
///   start a run, so return no key for a `DELETE` that stops it.
/// - The first request with a key calls the service, on a task of its own. Requests with the same
///   key wait for the head of its answer, and then get the same events.
/// - A request with a last event id never reaches the service. The id is that of the header, or the
///   one that an outer [`SseLayer`](crate::SseLayer) found in the query.
/// - The service gets a [`Disconnect`](crate::Disconnect) that fires when the run is over, not when
///   a client leaves.
///
/// [`Runs`](super::Runs#answers) has the table of all answers.
///
/// # Responses
///
/// - An event stream with status 200 and no content coding is recorded. The first client gets the
///   whole head. Other clients get the headers of an event stream and the handler's
///   [`StreamOptions`](crate::StreamOptions), without `max_age` and `on_close`, which stay with the
///   first client.
/// - Any other response, or error, goes to the first client, and the key is free again. One of the
///   requests that wait calls the service next.
/// - If the service panics before it answers, the panic propagates to the first client's future,
///   and the key is free again. A later panic fails the run.
///
/// Comments and the source's own ids are not recorded. Each event gets an id of the run as its last
/// line.
///
/// # Services
///
/// The call runs on a task. The service must therefore be `Clone`, and the service, its future, its
/// errors and all bodies must be `Send` and `'static`. Task-locals that an outer layer has set are
/// not available to the call. A timeout layer outside of this one ends a client's wait, but not the
/// call.
pub struct RunLayer<K> {
    shared: Arc<Shared>,
    key: K,
}

impl<K> RunLayer<K> {
    pub(super) const fn new(shared: Arc<Shared>, key: K) -> Self {
        Self { shared, key }
    }
}

impl<S, K: Clone> Layer<S> for RunLayer<K> {
    type Service = RunService<S, K>;

    fn layer(&self, inner: S) -> RunService<S, K> {
        RunService::new(inner, Arc::clone(&self.shared), self.key.clone())
    }
}

impl<K: Clone> Clone for RunLayer<K> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared), self.key.clone())
    }
}

impl<K> fmt::Debug for RunLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunLayer")
            .field("options", &self.shared.options)
            .field("key", &format_args!("{}", type_name::<K>()))
            .finish()
    }
}
