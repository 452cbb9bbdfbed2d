use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, request::Parts};
use tokio::time::timeout;

use super::answer::{self, Requester};
use super::options::{MAX_TIME, Options};
use super::process::{Claim, Process, Purpose};
use super::record::{NoEvents, Record, lines_of};
use super::{AnswerBody, Attachment, Outcome, RunEnd, RunKey, RunStore, RunsStats};
use super::{StartError, shared::SharedRuns};
use crate::event::{Event, Message};
use crate::history::seen;
use crate::{callback::Opaque, connection::LastEventId, signals::OnRefusal};

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

/// A handle to a run: an event stream that is being recorded, or whose recording has ended.
///
/// [`Runs::start`](super::Runs::start), [`Runs::replace`](super::Runs::replace) and
/// [`Runs::get`](super::Runs::get) return handles. Clones of a handle refer to the same run.
/// Dropping a handle neither stops the run nor detaches a client.
#[derive(Clone)]
pub struct Run {
    runs: Runs,
    pub(super) record: Arc<Record>,
    /// Whether this handle was returned to the caller that started the run.
    is_own: bool,
}

impl Run {
    pub(super) const fn new(runs: Runs, record: Arc<Record>, is_own: bool) -> Self {
        Self { runs, record, is_own }
    }

    /// Returns the key of the run.
    #[must_use]
    pub fn key(&self) -> &RunKey {
        &self.record.key
    }

    /// Returns the time since the run was started. For a run of another process, it is the time
    /// since this process first saw the run.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.record.started_at.elapsed()
    }

    /// Returns all events that have been recorded so far, so that a program can store them. The
    /// list is complete once the run has [ended](Self::ended). But if this process has lost contact
    /// with the run's process, the list has only the events that this process has received.
    ///
    /// Returns `None` if an event was evicted. A run that is running in this process evicts events
    /// only once it has reached [`retain_bytes`](super::RunsBuilder::retain_bytes). A run that has
    /// ended, or that belongs to another process, can also lose its events when a memory limit such
    /// as [`max_memory`](super::RunsBuilder::max_memory) is reached, or when
    /// [`retain_for`](super::RunsBuilder::retain_for) has passed after its end.
    ///
    /// ```
    /// use tower_sse::runs::{Outcome, Run};
    /// # async fn save(_: &str, _: String) {}
    ///
    /// async fn store(run: Run) {
    ///     if run.ended().await == Some(Outcome::Completed) && let Some(messages) = run.messages() {
    ///         let text = messages.iter().map(|message| message.data.as_str()).collect();
    ///         save(run.key().name(), text).await;
    ///     }
    /// }
    /// # _ = store;
    /// ```
    #[must_use]
    pub fn messages(&self) -> Option<Vec<Message>> {
        self.record.messages()
    }

    /// Attaches the client of a request, and returns the answer to the request. See the [table of
    /// all answers](super::Runs#answers).
    ///
    /// The handler can add headers to the response, and extensions such as
    /// [`StreamOptions`](crate::StreamOptions).
    ///
    /// With a [store](super#several-processes), a request with an id of another run gets the answer
    /// of [`Runs::answer`](super::Runs::answer), because a later run may have the key.
    ///
    /// If an outer [`SseLayer`](crate::SseLayer) refuses the stream of the client that started the
    /// run, and no other client is attached, the run is cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future detaches the client.
    pub async fn answer(&self, parts: &Parts) -> Response<AnswerBody> {
        let requester = Requester::of_parts(parts);
        let is_of_run = seen(requester.last.as_ref(), self.record.epoch, u64::MAX).is_some();
        if self.runs.shared.is_some() && !is_of_run {
            let answer = self.runs.answer(self.key(), parts).await;
            return answer.unwrap_or_else(|| answer::not_found(&requester));
        }
        let mut response = match self.runs.serve(&self.record, requester.last.as_ref(), false).await
        {
            Ok(record) => match answer::answer(&record, &requester).await {
                Some(response) => response,
                None if self.is_own => answer::forgotten(&record, &requester),
                None => answer::not_found(&requester),
            },
            Err(error) => error.answer_to(&requester),
        };
        if self.is_own {
            response.extensions_mut().insert(on_refusal(&self.runs.process, &self.record));
        }
        response
    }

    /// Attaches a client that has seen the events up to the id `last`. Without `last`, the client
    /// has seen no events.
    ///
    /// Waits while the run is starting. Returns `None` if `last` is not an id of this run, if an
    /// event after `last` was evicted, or if the run is no longer kept. If another process owns the
    /// run, the [`Attachment`] fails when this process has no memory left for the run's events, or
    /// cannot reach the store for as long as two [leases](super#several-processes).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future detaches the client.
    pub async fn attach(&self, last: impl Into<Option<LastEventId>>) -> Option<Attachment> {
        let last = last.into().filter(|last| !last.is_empty());
        let record = match self.runs.serve(&self.record, last.as_ref(), true).await {
            Ok(record) => record,
            Err(StartError::NotFound) => return None,
            Err(_) => return self.runs.lost(&self.record).attach(None).ok().map(Attachment::new),
        };
        let reader = match record.attach(last.as_ref()) {
            Err(NoEvents::GivenWay) => self.runs.lost(&self.record).attach(None),
            reader => reader,
        };
        let reader = reader.ok()?;
        match reader.started().await {
            Ok(()) | Err(NoEvents::AllSeen(_)) => Some(Attachment::new(reader)),
            Err(_) => None,
        }
    }

    /// Cancels the run: its outcome is [`Cancelled`](Outcome::Cancelled), and its source is dropped
    /// when the run's task is polled next. Does nothing if the run has ended.
    ///
    /// # Cancel safety
    ///
    /// The same as for [`Runs::cancel`](super::Runs::cancel).
    pub async fn cancel(&self) {
        self.runs.cancel_record(&self.record).await;
    }

    /// Returns how the run ended. Returns `None` if the run has not ended, or if its call returned
    /// anything but an event stream.
    ///
    /// For a run of another process, also returns [`Interrupted`](Outcome::Interrupted) if this
    /// process has lost contact with that process, although the run may go on there.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.record.phase().outcome()
    }

    /// Waits until the run has ended, or until this process loses contact with the run's process.
    /// Then returns the [`outcome`](Self::outcome).
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time, and the method can be called again. The future does
    /// not count as an attached client.
    pub async fn ended(&self) -> Option<Outcome> {
        let ended = || Some(self.record.phase()).filter(|phase| !phase.is_live());
        self.record.until(ended).await.outcome()
    }
}

/// Returns a callback that an outer layer calls if it refuses the stream of the client that started
/// the run.
pub(super) fn on_refusal(process: &Arc<Process>, record: &Arc<Record>) -> OnRefusal {
    let (process, record) = (Arc::clone(process), Arc::clone(record));
    OnRefusal(Arc::new(move || _ = process.end_unattended(&record, Outcome::Cancelled)))
}

opaque_debug!(Run);

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
    pub async fn answer(&self, key: &RunKey, parts: &Parts) -> Option<Response<AnswerBody>> {
        let requester = Requester::of_parts(parts);
        let answer = match self.find(key, requester.last.as_ref()).await {
            Ok(Some(record)) => answer::answer(&record, &requester).await,
            Ok(None) => None,
            Err(error) => Some(error.answer_to(&requester)),
        };
        answer.or_else(|| answer::unfinished(&requester))
    }

    /// Returns the run with this key if it is starting or running, or if it has ended and is still
    /// kept.
    ///
    /// While the [store](super#several-processes) cannot be reached, returns `None` for any run
    /// that is not running in this process. In that case, [`answer`](Self::answer) returns a
    /// refusal.
    pub async fn get(&self, key: &RunKey) -> Option<Run> {
        let record = self.find(key, None).await.ok().flatten()?;
        // If another process owns the run, its outcome is known once the last page is loaded.
        if !self.is_loaded(&record).await {
            return None;
        }
        Some(Run::new(self.clone(), record, false))
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
    ///   [`retain_bytes`](super::RunsBuilder::retain_bytes) allows. The run is then cancelled
    ///   without the event.
    /// - The run has ended, or `last` is not an id of the run. Then nothing is cancelled.
    /// - The run's process is another one, and is dead: see below.
    ///
    /// A run that has reached `retain_bytes` evicts its oldest events to make room for `event`.
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
        self.exported().await;
    }

    /// Creates a `Runs` with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder that sets limits.
    pub fn builder() -> RunsBuilder {
        RunsBuilder::default()
    }

    /// Connects to a store, with the default limits. All processes that use the store share their
    /// runs. See [`RunsBuilder::connect`].
    ///
    /// # Errors
    ///
    /// Returns the error of the store if the connection fails.
    pub async fn connect<S: RunStore>(store: S) -> Result<Self, S::Error> {
        Self::builder().connect(store).await
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self::new()
    }
}

/// A builder for [`Runs`] that sets the limits of their memory, number and lifetime.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::runs::Runs;
///
/// let runs = Runs::builder()
///     .retain_bytes(256 << 10)
///     .max_memory(3 << 30)
///     .retain_for(Duration::from_secs(300))
///     .abandon_after(Duration::from_secs(600))
///     .max_running(10_000)
///     .max_running_per_owner(16)
///     .on_end(|end| println!("{} events, {}", end.events, end.outcome))
///     .build();
/// # _ = runs;
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct RunsBuilder {
    options: Options,
}

impl RunsBuilder {
    /// Limits the events that each run keeps to `bytes` of memory. The default is 2 MiB.
    ///
    /// Each event counts as its size on the wire plus 112 bytes. With the default, a run keeps
    /// about 13,000 events of 45 bytes each, or 5,000 events of 300 bytes each. A language model's
    /// token, wrapped in the vendor's JSON, makes an event of about 300 bytes.
    ///
    /// Once a run has reached the limit, the oldest events are evicted to make room for new ones:
    ///
    /// - While a client is attached, only events that the fastest client has read are evicted. If
    ///   that does not make enough room, the source waits until the fastest client has read more.
    ///   If a slower client needs an evicted event, its response body fails, and it gets `404` when
    ///   it reconnects.
    /// - While no client is attached, any event can be evicted, so the source never waits. A client
    ///   that attaches later and needs an evicted event gets `404`.
    ///
    /// A run fails if one of its events does not fit into the limit.
    ///
    /// A new run is admitted only if [`max_memory`](Self::max_memory) can hold `bytes` for each
    /// running run, including the new one. So each running run can use all of `bytes`. The
    /// exception: if `max_memory` cannot hold `bytes` even for one run, one run at a time is
    /// admitted, and keeps less.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is zero.
    #[track_caller]
    pub fn retain_bytes(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "the size of a record must not be zero");
        self.options.retain_bytes = bytes;
        self
    }

    /// Limits the total memory of all runs to `bytes`. The default is 2 GiB.
    ///
    /// A running run is never evicted to make room. For each running run,
    /// [`retain_bytes`](Self::retain_bytes) is reserved, plus 2,752 bytes for the bookkeeping of a
    /// run with the longest key. A new run is admitted only if `max_memory` has room for this run
    /// and all running runs. With the defaults, 1,022 runs can run at a time. Further requests are
    /// refused with [`StartError::Full`]. If answers are short, lower `retain_bytes` to admit more
    /// runs: with 64 KiB, the default memory has room for the 10,000 runs that
    /// [`max_running`](Self::max_running) allows by default.
    ///
    /// Most running runs need less memory than is reserved for them. The rest is used to keep ended
    /// runs. When new events or a new run need room, the following is evicted, in this order:
    ///
    /// 1. Ended runs that no client reads, beginning with the run that ended first.
    /// 2. This process's copies of runs of [other processes](super#several-processes), the largest
    ///    first. If an attached client needs an evicted event, its response body fails. A new
    ///    request that needs an evicted event gets a refusal. In both cases, the process loads the
    ///    run again when the client reconnects.
    /// 3. Ended runs that clients still read. The bodies of these clients fail.
    ///
    /// With a [store](super::RunStore), an ended run is evicted only once the store has recorded
    /// its end. Until then, a new run that needs the ended run's memory is refused.
    ///
    /// The limit counts runs, their events, and their frames. A frame is a copy of several
    /// consecutive events. A run keeps frames for clients that are behind. Bookkeeping counts too:
    /// 112 bytes for each event, less than 200 bytes for each frame, less than 2 KiB for each
    /// running run, and less than 1 KiB for each ended run. Long keys and error texts add to that.
    /// No room is reserved for frames: a frame is kept only if there is room when a client reads
    /// it. If the running runs then grow to their limits, the kept frames can take the total above
    /// `bytes`. So can an event that a source has begun but not completed. These do not count:
    ///
    /// - The future of the run's call, and the run's source, with everything that these two hold.
    /// - Evicted events and frames that a server still has to send. Each is in memory only once,
    ///   however many clients wait for it.
    /// - Unused space in the chunks of up to 1 KiB that small events share: before a run's oldest
    ///   event and after its newest event.
    ///
    /// In total, an ended run of 100 events of 45 bytes each counts as 16 kB. A client that
    /// attaches to it adds a frame, which counts as 5 kB. If 16 clients resume after different
    /// events, their frames count as 69 kB.
    ///
    /// With a [store](super::RunStore), a second limit of the same size applies to the memory that
    /// the runs of this process take in the store, including keys and bookkeeping. In Redis, a run
    /// takes about 5.3 kB, plus the size of its events, plus twice the length of its
    /// percent-encoded key. Each batch of events that was sent to Redis adds 48 bytes. Above the
    /// limit, the process first deletes from the store ended runs whose key a newer run has taken,
    /// then other ended runs, in the order in which the store recorded their ends.
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.options.max_memory = bytes;
        self
    }

    /// Limits the memory of the ended runs that are kept for each owner to `bytes`, so that they
    /// leave room for the runs of other owners. By default, ended runs are limited only by
    /// [`max_memory`](Self::max_memory).
    ///
    /// Beyond `bytes`, the owner's runs that ended first are evicted, but never the one that ended
    /// last. Two things count only towards `max_memory`: [frames](Self::max_memory) that are made
    /// after a run's end, and a run that a client still reads after the run was replaced, or after
    /// [`retain_for`](Self::retain_for). Running runs of an owner are limited by
    /// [`max_running_per_owner`](Self::max_running_per_owner) and
    /// [`retain_bytes`](Self::retain_bytes). Runs with a [shared](super::RunKey::shared) key have
    /// no owner, so this limit does not apply to them.
    ///
    /// With a [store](super::RunStore), runs are evicted in the order in which the store recorded
    /// their ends. The limit then also applies to the memory that an owner's ended runs take in the
    /// store. There, a call that returned no event stream also counts, for two
    /// [leases](super#several-processes) after its answer. Each process counts only its own runs.
    ///
    /// ```
    /// use tower_sse::runs::Runs;
    ///
    /// let runs = Runs::builder().max_memory(1 << 30).max_memory_per_owner(16 << 20).build();
    /// ```
    pub fn max_memory_per_owner(mut self, bytes: usize) -> Self {
        self.options.max_memory_per_owner = Some(bytes);
        self
    }

    /// Sets how long a run is kept after its end. The default is 5 minutes.
    ///
    /// After this time, the key is free. Clients that are still reading the run can read the rest,
    /// unless [`max_memory`](Self::max_memory) evicts it. With a [store](super::RunStore), each run
    /// is kept there for at least a minute and at least four [leases](super#several-processes).
    /// During this time, the key stays taken, and requests for a completed run are answered from
    /// the store. With an `age` of zero, a run can be gone before its handler calls
    /// [`Run::answer`](super::Run::answer), which then returns `404`. More than ten years count as
    /// ten years.
    pub fn retain_for(mut self, age: Duration) -> Self {
        self.options.retain_for = age.min(MAX_TIME);
        self
    }

    /// Sets how long a run continues without a client. After this time, the run ends as
    /// [`Abandoned`](super::Outcome::Abandoned). The default is 10 minutes.
    ///
    /// The time counts from the start of the run, or from when the last client detached. A client
    /// that waits for the call's answer counts as attached. With `Duration::MAX`, a run is never
    /// abandoned.
    ///
    /// # Panics
    ///
    /// Panics if the time is zero, because no run could start.
    #[track_caller]
    pub fn abandon_after(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "the time after which a run is abandoned must not be zero");
        self.options.abandon_after = time.min(MAX_TIME);
        self
    }

    /// Sets how long a run may take. After this time, the run ends as
    /// [`Failed`](super::Outcome::Failed), whether or not a client is attached. By default, there
    /// is no limit.
    ///
    /// The time counts from the start of the run. Without a limit, a browser page that stays open
    /// keeps an endless source running.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_sse::runs::Runs;
    ///
    /// let runs = Runs::builder().max_duration(Duration::from_secs(3600)).build();
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the time is zero, because no run could start.
    #[track_caller]
    pub fn max_duration(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "the maximum duration of a run must not be zero");
        self.options.max_duration = time.min(MAX_TIME);
        self
    }

    /// Limits how many runs may be running at a time. The default is 10,000, but
    /// [`max_memory`](Self::max_memory) admits only 1,022 by default. Ended runs do not count.
    ///
    /// # Panics
    ///
    /// Panics if `runs` is zero.
    #[track_caller]
    pub fn max_running(mut self, runs: usize) -> Self {
        assert!(runs > 0, "the limit of running runs must not be zero");
        self.options.limits.running = runs;
        self
    }

    /// Limits how many runs of one owner may be running at a time. The default is 16.
    ///
    /// Runs with a [shared](super::RunKey::shared) key have no owner: only
    /// [`max_running`](Self::max_running) limits them.
    ///
    /// # Panics
    ///
    /// Panics if `runs` is zero.
    #[track_caller]
    pub fn max_running_per_owner(mut self, runs: usize) -> Self {
        assert!(runs > 0, "the limit of running runs must not be zero");
        self.options.limits.running_per_owner = runs;
        self
    }

    /// Adds a closure that is called when a run ends, whatever the run's outcome. Use it for
    /// billing and reports.
    ///
    /// Without a store, it is called once for each run. With a store, it can be called twice for a
    /// run, with the same [`RunEnd::id`]: bill each id only once. If the process of a run dies,
    /// another process calls its own closures for the run [soon](super#several-processes), with a
    /// [`RunEnd`] whose [`bytes`](RunEnd::bytes) is 0. No client need ask for the run, but one
    /// process must live.
    ///
    /// The closure is also called if the run's call panics, or is cancelled, abandoned or
    /// interrupted, before it has answered. It is not called if the call returns anything but an
    /// event stream.
    ///
    /// The closure is called on the thread that ends the run, while that thread holds no lock of
    /// the `Runs`. All closures are called, in the order in which they were added. If a closure
    /// panics, the panic is caught.
    pub fn on_end<F>(mut self, callback: F) -> Self
    where
        F: Fn(&RunEnd) + Send + Sync + 'static,
    {
        self.options.on_end.push(Opaque(Arc::new(callback)));
        self
    }

    /// Creates the [`Runs`].
    #[must_use]
    pub fn build(self) -> Runs {
        Runs { process: Arc::new(Process::new(self.options, None)), shared: None }
    }

    /// Connects to a store. All processes that use the store share their runs.
    ///
    /// The future is ready once other processes can reach the runs of this process.
    ///
    /// # Errors
    ///
    /// Returns the error of the store if the connection fails.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with timers.
    pub async fn connect<S: RunStore>(self, store: S) -> Result<Runs, S::Error> {
        let (process, shared) = store.connect(self.options).await?;
        Ok(Runs { process, shared: Some(shared) })
    }
}

impl Runs {
    /// Returns the run that a request is about, or claims the key for a new run.
    pub(crate) async fn claim(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
        purpose: Purpose,
    ) -> Result<Claim, StartError> {
        let Some(shared) = &self.shared else {
            return self.process.claim(key, last, purpose);
        };
        if last.is_some() {
            let found = self.find(key, last).await?;
            return found.map(Claim::Existing).ok_or(StartError::NotFound);
        }
        let claimed = Arc::clone(shared).claim(key, purpose).await;
        if claimed.is_err() {
            self.process.counters.totals().refused += 1;
        }
        claimed
    }

    /// Returns the run with this key, wherever it is, for a client that has seen the events up to
    /// `last`. It never starts a run.
    pub(crate) async fn find(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
    ) -> Result<Option<Arc<Record>>, StartError> {
        match &self.shared {
            None => Ok(self.process.get(key)),
            Some(shared) => shared.find(key, last).await,
        }
    }

    /// Cancels the run with this key, wherever it is, after the event with these `lines` if there
    /// are any. Returns whether it was starting or running.
    pub(super) async fn cancel_run(
        &self,
        key: &RunKey,
        last: Option<LastEventId>,
        lines: Option<Bytes>,
    ) -> bool {
        let last = last.filter(|last| !last.is_empty());
        match &self.shared {
            None => self.process.cancel(key, last.as_ref(), lines.as_deref()),
            Some(shared) => shared.cancel(key, last.as_ref(), lines).await,
        }
    }

    /// Cancels a run, wherever it is.
    pub(super) async fn cancel_record(&self, record: &Arc<Record>) {
        match &self.shared {
            None => _ = self.process.cancel_record(record, None),
            Some(shared) => shared.cancel_record(record).await,
        }
    }

    /// Returns a record of the same run as `record`, for a client that has seen the events up to
    /// `last`. `record` itself may be a mirror (a copy of another process's run) without the event
    /// after `last`. If `waits` is set, tries to reach the store for up to twice the lease.
    pub(super) async fn serve(
        &self,
        record: &Arc<Record>,
        last: Option<&LastEventId>,
        waits: bool,
    ) -> Result<Arc<Record>, StartError> {
        match &self.shared {
            None => Ok(Arc::clone(record)),
            Some(shared) => shared.serve(record, last, waits).await,
        }
    }

    /// Returns another record of the run, which reports to its clients that the contact to the
    /// run's process is lost.
    pub(super) fn lost(&self, record: &Record) -> Arc<Record> {
        let (lost, mirror) = self.process.mirror(record.key.clone(), record.epoch, 0);
        mirror.lose();
        lost
    }

    /// Waits until a record of another process' run has all events that the store has. Returns
    /// whether they could be loaded.
    pub(super) async fn is_loaded(&self, record: &Arc<Record>) -> bool {
        match &self.shared {
            None => true,
            Some(shared) => shared.is_loaded(record).await,
        }
    }

    /// Waits, for a limited time, until other processes can read all runs that have ended.
    pub(super) async fn exported(&self) {
        if let Some(shared) = &self.shared {
            shared.exported().await;
        }
    }
}
