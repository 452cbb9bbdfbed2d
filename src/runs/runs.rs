use std::{fmt, sync::Arc};

use http::{Request, Response, request::Parts};

use super::{
    AnswerBody, InvalidKey, Run, RunKey, RunLayer, RunStore, RunsBuilder, RunsStats,
    answer::{self, Requester},
    process::Shared,
};

/// The runs of one process, by key, with their limits. With [`connect`](Self::connect), processes
/// share their runs.
///
/// Clones share the same runs. Running runs continue after the last clone is dropped.
///
/// Runs are tokio tasks. Methods that start one [panic](tokio::spawn) outside of a tokio runtime
/// with timers.
///
/// # Answers
///
/// The answer depends on the request and on the run that has its key:
///
/// | run | request without an id | request with an id |
/// |---|---|---|
/// | none | starts a run | `404` |
/// | starting | waits, then all events | `404` |
/// | running | all events | the events after the id |
/// | [`Completed`] and kept | all events | the events after the id |
/// | any other end, and kept | starts a run | the events after the id |
///
/// - The [layer](Self::layer) and [`start`](Self::start) answer so. Without an id,
///   [`replace`](Self::replace) always starts a run, in place of any other.
/// - [`answer`](Self::answer) never starts a run: it returns `None` if there is none, and sends all
///   events of any run that has ended and is kept.
/// - An id that the run has not assigned gets `404`, as does a client whose next event was evicted.
/// - The sequence number 0 stands for the beginning: a client with the id `epoch-0` gets all events.
/// - At a limit, during a shutdown, or while the [store](super#several-processes) cannot be reached,
///   a request that would start a run gets the refusal
///   [`per_client`](crate::Refusal::per_client) instead, whatever the layer's own is. At a limit,
///   `replace` still takes the place of a running run.
///
/// If the run has ended and has no events for the client, or ends while the client waits for the
/// call to answer (a replaced run counts as [`Cancelled`]):
///
/// - An `EventSource` gets `204`, which stops it. If the run was [`Interrupted`] and the client has no
///   id, it gets the refusal.
/// - Any other client without an id gets an empty `200` after [`Completed`], the refusal after
///   [`Interrupted`], and `404` after any other end.
/// - Any other client with an id gets an empty `200` after [`Completed`] and [`Cancelled`], and `404`
///   after any other end.
/// - An empty `200` means that nothing is missing. Only [`Completed`] adds the terminator to it.
/// - The refusal makes a client start the run again, on another process. After [`Cancelled`], it
///   would start an answer again that the user has stopped.
/// - If a run is replaced before its call has answered, the requests that have joined it get the new
///   run. The request that has started it gets the answer after [`Cancelled`]: of two turns that are
///   sent at once, the first gets `404`. [`answer`](Self::answer) returns `None`.
///
/// [`Completed`]: super::Outcome::Completed
/// [`Cancelled`]: super::Outcome::Cancelled
/// [`Interrupted`]: super::Outcome::Interrupted
#[derive(Clone)]
pub struct Runs {
    pub(super) shared: Arc<Shared>,
}

impl Runs {
    /// Creates a `Runs` with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder that sets limits.
    pub fn builder() -> RunsBuilder {
        RunsBuilder::default()
    }

    /// Creates runs that all processes with the same store share, with the default limits. See
    /// [`RunsBuilder::connect`].
    ///
    /// # Errors
    ///
    /// Returns the error of the store if it cannot connect.
    pub async fn connect<S: RunStore>(store: S) -> Result<Self, S::Error> {
        Self::builder().connect(store).await
    }

    /// Creates a layer that makes the event streams of a service resumable without a change to the
    /// service.
    ///
    /// `key` returns the key of a request's run, or `None` for a request that passes unchanged. The
    /// layer answers a request whose key is [invalid](super::InvalidKey) with `400`. `HEAD` and
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
        RunLayer::new(Arc::clone(&self.shared), key)
    }

    /// Attaches the client of a request to the run with this key, and returns the answer according
    /// to the [table](Self#answers). It never starts a run.
    ///
    /// Returns `None` if there is no such run. The handler then answers `404`, or `204` if the
    /// client only asks whether there is something to resume.
    ///
    /// ```
    /// use axum::response::{IntoResponse, Response};
    /// use http::{StatusCode, request::Parts};
    /// use tower_sse::runs::{RunKey, Runs};
    ///
    /// async fn resume(runs: Runs, key: RunKey, parts: Parts) -> Response {
    ///     match runs.answer(&key, &parts).await {
    ///         Some(answer) => answer.into_response(),
    ///         None => StatusCode::NO_CONTENT.into_response(),
    ///     }
    /// }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future detaches the client.
    pub async fn answer(&self, key: &RunKey, parts: &Parts) -> Option<Response<AnswerBody>> {
        let requester = Requester::of_parts(parts);
        match self.shared.find(key, requester.last.as_ref()).await {
            Ok(record) => answer::answer(&record?, &requester).await,
            Err(error) => Some(error.answer_to(requester.client)),
        }
    }

    /// Returns the run with this key, if it is starting, running, or has ended and is kept.
    ///
    /// While the [store](super#several-processes) cannot be reached, returns `None` for any run that
    /// is not running in this process. [`answer`](Self::answer) then returns a refusal instead.
    pub async fn get(&self, key: &RunKey) -> Option<Run> {
        let record = self.shared.find(key, None).await.ok().flatten()?;
        // How it ended is known after the last page.
        if !self.shared.is_loaded(&record).await {
            return None;
        }
        Some(Run::new(Arc::clone(&self.shared), record, false))
    }

    /// Returns the number of runs that are starting or running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.lock().running()
    }

    /// Returns the runs of an owner that are starting or running at this process, the oldest first.
    ///
    /// A page that was reloaded can show them: [`Run::key`] has their names, and [`Run::age`] their
    /// ages. It takes time in proportion to the number of all running runs.
    ///
    /// ```
    /// use tower_sse::runs::Runs;
    ///
    /// fn names(runs: &Runs, user: &str) -> Vec<String> {
    ///     let running = runs.running_of(user);
    ///     running.iter().map(|run| run.key().name().to_owned()).collect()
    /// }
    /// # _ = names;
    /// ```
    ///
    /// # Several processes
    ///
    /// Runs of other processes are not returned, because no process knows all runs of an owner.
    #[must_use]
    pub fn running_of(&self, owner: &str) -> Vec<Run> {
        let records = self.shared.lock().running_of(owner);
        let run = |record| Run::new(Arc::clone(&self.shared), record, false);
        records.into_iter().map(run).collect()
    }

    /// Returns statistics of all runs, for an endpoint such as `/metrics`.
    #[must_use]
    pub fn stats(&self) -> RunsStats {
        self.shared.stats()
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runs")
            .field("options", &self.shared.options)
            .field("running", &self.shared.lock().running())
            .finish_non_exhaustive()
    }
}
