use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, request::Parts};
use tokio::time::timeout;

use super::answer::{self, Requester};
use super::process::{Claim, Process, Purpose};
use super::record::{Record, lines_of};
use super::shared::{Pending, SharedRuns};
use super::{RunBody, RunKey, RunsStats, StartError};
use crate::{connection::LastEventId, event::Event};

/// The runs of one process, by key, with their limits. With [`connect`](Self::connect), several
/// processes share their runs.
///
/// Clones share the same runs. Runs in progress continue after the last clone is dropped.
///
/// Each run is a tokio task that needs a runtime with timers. A method that starts a run
/// [panics](tokio::spawn) outside of a tokio runtime.
///
/// # Answers
///
/// The answer depends on the request and on the run that has the request's key:
///
/// | run | request without an id | request with an id |
/// |---|---|---|
/// | none | starts a run | `404` |
/// | starting | waits, then all events | `404` |
/// | running | all events | the events after the id |
/// | [`Completed`] and kept | all events | the events after the id |
/// | any other end, and kept | starts a run | the events after the id |
///
/// - The [layer](Self::layer) and [`start`](Self::start) follow this table. For a request without
///   an id, [`replace`](Self::replace) always starts a run, in place of any run that has the key.
/// - [`answer`](Self::answer) never starts a run: it returns `None` if no run has the key. For a
///   request without an id, it sends all events of a kept run, if any, however the run ended.
/// - A request gets `404` if the run has not assigned the request's id, or if the client still
///   needs an evicted event.
/// - In place of a `404` for an id, an `EventSource` gets the event
///   [`interrupted`](super#half-an-answer).
/// - The sequence number 0 stands for the beginning: a client with the id `epoch-0` gets all
///   events.
/// - A request that would start a run is refused when a limit is reached, or during a shutdown.
///   While the [store](super#several-processes) cannot be reached, all requests are refused, except
///   those that attach to a run that is running in this process. The refusal is
///   [`Refusal::per_client`](crate::Refusal::per_client), even if another refusal is set on the
///   [`SseLayer`](crate::SseLayer). When a limit is reached, `replace` can still replace a run that
///   is running in this process.
///
/// If a run has ended and has no more events to send to a client, the client gets one of the
/// following answers. In two cases, a request without an id gets one of them too, although it would
/// start a run by the table: if the handler uses [`answer`](Self::answer), or if the request was
/// waiting for the response of the run's call when the run ended. But [`start`](Self::start) and
/// [`start_with`](Self::start_with) follow the table if they have waited for the call of another
/// request.
///
/// - An `EventSource` gets `204` after [`Completed`] or [`Cancelled`], and does not reconnect. After
///   any other end, it first gets [`interrupted`](super#half-an-answer). But if the run ended as
///   [`Interrupted`], an `EventSource` without an id gets the refusal `per_client` instead.
/// - Without an id, any client except an `EventSource` gets an empty `200` after [`Completed`], the
///   refusal `per_client` after [`Interrupted`], and `404` after any other end.
/// - With an id, any client except an `EventSource` gets an empty `200` after [`Completed`] or
///   [`Cancelled`], and `404` after any other end.
/// - A replaced run counts as [`Cancelled`]. An empty `200` is a stream without events. It tells
///   the client that it has missed no event. The [terminator](crate::SseLayer::terminator) is sent
///   in such a stream only after [`Completed`].
/// - The refusal makes a client repeat its request. Except with [`answer`](Self::answer), the
///   repeated request starts the run again if it reaches a process that is not shutting down. After
///   [`Cancelled`], clients get no refusal, because repeated requests would restart an answer that
///   the user has stopped.
/// - If a run is replaced before its call has answered, the requests that have joined it get the
///   new run. The request that started the replaced run gets the response for a [`Cancelled`] run.
///   This happens, for example, if a user sends two messages of a chat at once. If
///   [`answer`](Self::answer) is waiting for the replaced run, it returns `None`.
///
/// [`Completed`]: super::Outcome::Completed
/// [`Cancelled`]: super::Outcome::Cancelled
/// [`Interrupted`]: super::Outcome::Interrupted
#[derive(Clone)]
pub struct Runs {
    pub(super) process: Arc<Process>,
    /// The runs of all processes, if there is a store.
    pub(super) shared: Option<Arc<dyn SharedRuns>>,
}

impl Runs {
    /// Returns statistics of all runs, for an endpoint such as `/metrics`.
    #[must_use]
    pub fn stats(&self) -> RunsStats {
        let mut stats = self.process.stats();
        if let Some(shared) = &self.shared {
            (stats.mirrors, stats.waiting_exports) = shared.figures();
        }
        stats
    }
}

opaque_debug!(Runs);

/// Finding runs.
impl Runs {
    /// Attaches the client of a request to the run with this key, and returns the answer. See the
    /// [table of all answers](Self#answers). This method never starts a run.
    ///
    /// Returns `None` if no run has this key. In this case, answer `404`, or `204` if the client
    /// only asks whether there is something to resume. For an `EventSource` with an id, returns the
    /// event [`interrupted`](super#half-an-answer) instead.
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
    pub async fn answer(&self, key: &RunKey, parts: &Parts) -> Option<Response<RunBody>> {
        let requester = Requester::of_parts(parts);
        let answer = match self.find(key, requester.last.as_ref()).await {
            Ok(Some(record)) => answer::answer(&record, &requester).await,
            Ok(None) => None,
            Err(error) => Some(error.answer_to(&requester)),
        };
        Some(answer.or_else(|| answer::unfinished(&requester))?.map(RunBody::answer))
    }
}

/// Stopping runs.
impl Runs {
    /// Cancels the run with this key if it is starting or running. Returns whether it was
    /// cancelled. With a [store](super#several-processes), the method waits as
    /// [`cancel_with`](Self::cancel_with) does.
    ///
    /// `last` is the id of the last event that the client has seen. If this id does not belong to
    /// the run with this key, nothing is cancelled. A late request to stop one turn of a chat
    /// therefore cannot cancel the next turn. Without `last`, whichever run has the key is
    /// cancelled.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before its first poll, nothing happens. Without a store, the first
    /// poll cancels the run. With a [store](super#several-processes), if the future is dropped
    /// between its first poll and its completion, the run may or may not be cancelled.
    pub async fn cancel(&self, key: &RunKey, last: impl Into<Option<LastEventId>>) -> bool {
        self.cancel_run(key, last.into(), None).await
    }

    /// Sends a final event to the clients of the run with this key, and [cancels](Self::cancel) the
    /// run. Returns whether it was cancelled.
    ///
    /// Attached clients receive the event before their streams end, and clients that resume later
    /// receive it too. The run records `event` like an event of its source.
    ///
    /// ```
    /// use tower_sse::{Event, LastEventId, runs::{RunKey, Runs}};
    ///
    /// async fn stop(runs: Runs, key: RunKey, last: Option<LastEventId>, tokens: u64) -> bool {
    ///     let usage = Event::new().event("usage").data(tokens.to_string());
    ///     runs.cancel_with(&key, last, usage).await
    /// }
    /// # _ = stop;
    /// ```
    ///
    /// The event is dropped, without an error, in these cases:
    ///
    /// - The run is still starting, so it has no stream yet. The run is then cancelled without the
    ///   event.
    /// - The event has neither a name nor data, or is larger than
    ///   the [retention](super::RunsBuilder::retention) allows. The run is then cancelled
    ///   without the event.
    /// - The run has ended, or `last` is not an id of the run. Then nothing is cancelled.
    /// - The run's process is another one, and is dead: see below.
    ///
    /// A run that has reached its size limit evicts its oldest events to make room for `event`.
    ///
    /// Until the run is cancelled, its source can still send events, so a count of the run's events
    /// that is made before this call can be too low.
    ///
    /// # Several processes
    ///
    /// The run's process ends the run and then exports all earlier events and `event`, so every
    /// later replay contains what a client has seen. If this is the run's process, the method waits
    /// up to two seconds for the export. Any other process asks the run's process, and waits until
    /// the run has ended in the store: usually some milliseconds, and at most two lease periods.
    ///
    /// If the run's process has died or cannot reach the store, the run is
    /// [interrupted](super::Outcome::Interrupted) without `event` once that process can be declared
    /// dead, and this method returns `false`. Events that were not exported are then lost. The
    /// bodies of clients that have seen them fail, also if they reconnect with the id of such an
    /// event. The replays of all processes are the same.
    ///
    /// # Cancel safety
    ///
    /// The same as for [`cancel`](Self::cancel). If a dropped future has cancelled the run, the run
    /// has also recorded `event`, unless one of the cases above applies.
    pub async fn cancel_with(
        &self,
        key: &RunKey,
        last: impl Into<Option<LastEventId>>,
        event: impl Into<Event>,
    ) -> bool {
        let lines = lines_of(event.into(), self.process.options.max_event());
        self.cancel_run(key, last.into(), lines).await
    }

    /// Prepares for the end of the process: refuses new runs, waits up to `grace` for the running
    /// runs to end, and ends the rest as [`Interrupted`](super::Outcome::Interrupted).
    ///
    /// If a run ends within `grace`, this method also waits for the
    /// [`on_end`](super::RunsBuilder::on_end) closures.
    ///
    /// The server's graceful shutdown waits until all response bodies have ended, so drain the runs
    /// concurrently:
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use axum::Router;
    /// use tokio::net::TcpListener;
    /// use tokio_util::sync::CancellationToken;
    /// use tower_sse::runs::Runs;
    ///
    /// # async fn run(
    /// #     listener: TcpListener,
    /// #     app: Router,
    /// #     runs: Runs,
    /// #     shutdown: CancellationToken,
    /// # ) -> std::io::Result<()> {
    /// let server = axum::serve(listener, app)
    ///     .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    /// let drain = async {
    ///     shutdown.cancelled().await;
    ///     runs.drain(Duration::from_secs(20)).await;
    /// };
    /// tokio::join!(server, drain).0
    /// # }
    /// ```
    ///
    /// The page on [shutdown](crate::guide::shutdown#runs) has a whole program, with a deadline.
    ///
    /// # Cancel safety
    ///
    /// From the first poll on, this process starts no run, even if the future is dropped. Dropping
    /// the future does not interrupt any run.
    pub async fn drain(&self, grace: Duration) {
        self.process.lock().is_draining = true;
        if timeout(grace, self.process.idle()).await.is_err() {
            self.process.interrupt();
        }
        self.ask(|shared| shared.exported(), |_| ()).await;
    }
}

impl Runs {
    /// Asks the store, which knows the runs of all processes, or this process if there is no store.
    pub(super) async fn ask<'a, T>(
        &'a self,
        store: impl FnOnce(&'a Arc<dyn SharedRuns>) -> Pending<'a, T>,
        process: impl FnOnce(&'a Arc<Process>) -> T,
    ) -> T {
        match &self.shared {
            None => process(&self.process),
            Some(shared) => store(shared).await,
        }
    }

    /// Returns the run that a request is about, or claims the key for a new run.
    ///
    /// A request with a last event id, `last`, never starts or replaces a run: it asks for the rest
    /// of an answer, and a new run would be a different one.
    pub(crate) async fn claim(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
        purpose: Purpose,
    ) -> Result<Claim, StartError> {
        if last.is_some() {
            let found = self.find(key, last).await?;
            return found.map(Claim::Existing).ok_or(StartError::NotFound);
        }
        let claim = |process: &Arc<Process>| process.claim(key, purpose);
        let claimed = self.ask(|shared| Arc::clone(shared).claim(key, purpose), claim).await;
        if claimed.is_err() {
            self.process.counters.totals().refused += 1;
        }
        claimed
    }

    /// Returns the run with this key, wherever it is, for a client that has seen the events up to
    /// `last`. It never starts a run.
    pub(super) async fn find(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
    ) -> Result<Option<Arc<Record>>, StartError> {
        self.ask(|shared| shared.find(key, last), |process| Ok(process.get(key))).await
    }

    /// Cancels the run with this key, wherever it is, after the event with these `lines` if there
    /// are any. Returns whether it was starting or running.
    async fn cancel_run(
        &self,
        key: &RunKey,
        last: Option<LastEventId>,
        lines: Option<Bytes>,
    ) -> bool {
        let last = last.as_ref().filter(|last| !last.is_empty());
        let own = lines.clone();
        let cancel = |process: &Arc<Process>| process.cancel(key, last, own.as_deref());
        self.ask(|shared| shared.cancel(key, last, lines), cancel).await
    }
}
