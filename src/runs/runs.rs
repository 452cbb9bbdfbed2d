use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, request::Parts};
use tokio::time::timeout;

use super::answer::{self, Requester};
use super::process::{Claim, Process, Purpose};
use super::record::{Record, lines_of};
use super::shared::{Pending, SharedRuns};
use super::{RunKey, RunsStats, StartError};
use crate::connection::{ClientKind, LastEventId};
use crate::{body::SseBody, event::Event};

/// How long a drain waits for `on_end` closures and reserved runs after its grace period.
const REPORT_WAIT: Duration = Duration::from_secs(2);

/// The runs of a process, by key. With [`connect`](Self::connect), several processes share their
/// runs.
///
/// Clones share the same runs, which continue after the last clone is dropped. Clients of other
/// processes' runs get an error then. Each run is a task, so methods that start a run
/// [panic](tokio::spawn) outside a tokio runtime. If the runtime's timers aren't enabled, the run
/// is interrupted at once.
///
/// # Answers
///
/// What a client gets depends on its request, and on the run that has the request's key:
///
/// | run | request without an id | request with an id |
/// |---|---|---|
/// | none | starts a run | `404` |
/// | starting | waits, then all events | `404` |
/// | running | all events | the events after the id |
/// | [completed][`Completed`] and kept | all events | the events after the id |
/// | ended in any other way, and kept | starts a run | the events after the id |
///
/// The [layer](Self::layer), [`start`](Self::start) and [`start_with`](Self::start_with) follow
/// this table. Two methods differ:
///
/// - Without an id, [`replace`](Self::replace) starts a run in place of any run that has the key.
/// - [`answer`](Self::answer) never starts a run. Without an id, it sends all events of a kept run,
///   however the run ended.
///
/// A client gets `404` if its id isn't from the run with the key, or if an event that it needs was
/// evicted. An `EventSource` with an id gets the event [`interrupted`](super#half-an-answer)
/// instead.
///
/// If a limit is reached or the process is shutting down, a request that would start a run is
/// refused. While the [store](super#several-processes) can't be reached, a request can attach to a
/// run that is starting or running in this process. All other requests are refused. The refusal is
/// [`Refusal::per_client`](crate::Refusal::per_client), even if you set another on the
/// [`SseLayer`](crate::SseLayer).
///
/// If a run has ended and no events are left to send, the client gets one of these answers:
///
/// | the run was | an EventSource gets | another client gets |
/// |---|---|---|
/// | [completed][`Completed`] | `204` | an empty `200`, or `204` for a [library](ClientKind::Library) with an id |
/// | [cancelled][`Cancelled`] | `204` | the same as for a completed run, or `404` if the request has no id |
/// | failed or abandoned | the event [interrupted](super#half-an-answer) | `404` |
/// | [interrupted][`Interrupted`] | the event [interrupted](super#half-an-answer), or the refusal if the request has no id | `404`, or the refusal if the request has no id |
///
/// A request without an id gets such an answer only if its run ends without events.
///
/// An empty `200` is a stream with none of the run's events. It ends with the
/// [terminator](crate::SseLayer::terminator) only after [`Completed`].
///
/// If a request was refused because its run was interrupted, repeating the request starts a new
/// run, but not while the process is shutting down. [`Runs::answer`] and a [`Run`](super::Run) from
/// [`Runs::get`] never start a run, so they don't refuse such a request: an `EventSource` gets
/// `interrupted`, and another client `404`.
///
/// If a run is replaced while it's starting, the request that started it gets the answer for a
/// [`Cancelled`] run.
///
/// [`Completed`]: super::Outcome::Completed
/// [`Cancelled`]: super::Outcome::Cancelled
/// [`Interrupted`]: super::Outcome::Interrupted
#[doc(alias = "resumable")]
#[derive(Clone)]
pub struct Runs {
    pub(super) process: Arc<Process>,
    pub(super) shared: Option<Arc<dyn SharedRuns>>,
}

impl Runs {
    /// Returns statistics of this process's runs.
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
    /// Attaches the client of a request to the run with this key and returns [the
    /// answer](Self#answers). Never starts a run.
    ///
    /// Returns `None` if no run has this key, or if a starting run loses its key. In this case,
    /// answer `404`, or `204` if the client only asks whether there is something to resume. For an
    /// `EventSource` that has sent an id, this method never returns `None`. The response is then
    /// the event [`interrupted`](super#half-an-answer), or a `204` if the client already has that
    /// event.
    /// [Runs without the layer](super#runs-without-the-layer) has an example.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future detaches the client.
    pub async fn answer(&self, key: &RunKey, parts: &Parts) -> Option<Response<SseBody>> {
        let requester = Requester { starts: false, ..Requester::of_parts(parts) };
        let answer = match self.find(key, requester.last.as_ref()).await {
            Ok(Some(record)) => answer::answer(&record, &requester).await,
            Ok(None) => None,
            Err(error) => Some(error.answer_to(&requester)),
        };
        // An `EventSource` that has part of the answer must learn that no more follows.
        let has_part = requester.client == ClientKind::EventSource && requester.last.is_some();
        answer.or_else(|| has_part.then(|| answer::not_found(&requester)))
    }
}

/// Stopping runs.
impl Runs {
    /// Cancels the run with this key if it's starting or running. Returns whether it was cancelled.
    /// With a [store](super#several-processes), waits as [`cancel_with`](Self::cancel_with) does.
    /// If the answer goes on although the result is `false`, the store was probably out of reach:
    /// call this method again.
    ///
    /// For `last`, pass the id of the last event that the client has seen. If it isn't from the run
    /// with this key, nothing is cancelled, so a late request to stop one turn of a chat can't
    /// cancel the next. Without `last`, whichever run has the key is cancelled.
    ///
    /// # Cancel safety
    ///
    /// Without a store, the first poll cancels the run. With a store, the run may or may not be
    /// cancelled if you drop the future.
    pub async fn cancel(&self, key: &RunKey, last: impl Into<Option<LastEventId>>) -> bool {
        self.cancel_run(key, last.into(), None).await
    }

    /// Sends a final event, for example with the model's token usage, to the clients of the run
    /// with this key. Then [cancels](Self::cancel) the run and returns whether it was cancelled.
    ///
    /// The run records `event` like an event from its source, so clients that resume later receive
    /// it too. If the run is still starting, it's cancelled without the event. The same happens if
    /// `event` has neither a name nor data, or if it's larger than the
    /// [`retain_bytes`](super::RunsBuilder::retain_bytes) allows.
    ///
    /// # Several processes
    ///
    /// In the run's process, this method waits up to two seconds for the store to receive `event`
    /// and all earlier events. In any other process, it asks the run's process to cancel the run
    /// and waits for the store to record the end. That usually takes a few milliseconds, and at
    /// most about two lease periods.
    ///
    /// A call in another process can return `false` if the run's process has died, or if either
    /// process can't reach the store. If the run's process is declared dead, the run is
    /// [interrupted](super::Outcome::Interrupted). Any events that the store hasn't received by
    /// then are lost, and so is `event`.
    ///
    /// # Cancel safety
    ///
    /// The same as for [`cancel`](Self::cancel). If the run is cancelled although you dropped the
    /// future, the run records `event`.
    pub async fn cancel_with(
        &self,
        key: &RunKey,
        last: impl Into<Option<LastEventId>>,
        event: impl Into<Event>,
    ) -> bool {
        let lines = lines_of(event.into(), self.process.options.max_event());
        self.cancel_run(key, last.into(), lines).await
    }

    /// Prepares for the end of the process: refuses new runs, waits up to `grace` for runs in
    /// progress to end, and ends the rest as [`Interrupted`](super::Outcome::Interrupted).
    ///
    /// Drain the runs concurrently with the server's graceful shutdown, which waits for all
    /// response bodies. [This program](crate::guide::assistant#the-program) does both, with a
    /// deadline.
    ///
    /// After `grace`, this method calls the [`on_end`](super::RunsBuilder::on_end) closures for the
    /// interrupted runs and waits up to two seconds for closures that are still running on other
    /// threads. With a store, it then waits up to two seconds for the store to record the end of
    /// every run.
    ///
    /// # Cancel safety
    ///
    /// Once the future has been polled, this process starts no more runs, even if you drop the
    /// future. Dropping it doesn't interrupt any run.
    pub async fn drain(&self, grace: Duration) {
        self.process.lock().is_draining = true;
        if timeout(grace, self.process.idle()).await.is_err() {
            self.process.interrupt();
            // Reports on runs that ended just before may still be going on.
            _ = timeout(REPORT_WAIT, self.process.idle()).await;
        }
        self.ask(|shared| shared.exported(), |_| ()).await;
    }
}

impl Runs {
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

    /// Finds or claims a run. A request with a last event id never starts or replaces a run,
    /// because it asks for the rest of an answer, not for a new one.
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

    pub(super) async fn find(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
    ) -> Result<Option<Arc<Record>>, StartError> {
        self.ask(|shared| shared.find(key, last), |process| Ok(process.get(key))).await
    }

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
