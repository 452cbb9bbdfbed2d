use std::sync::Arc;

use http::{Response, request::Parts};

use super::answer::{self, Requester};
use super::record::{NoEvents, Record};
use super::{Attachment, Outcome, RunKey, Runs, StartError, process::Process};
use crate::body::SseBody;
use crate::history::{Position, seen};
use crate::signals::OnRefusal;
use crate::{connection::LastEventId, decode::Message, event::EventId, exchange::AwaitedRun};

/// A handle to a run that is in progress or has ended.
///
/// Clones refer to the same run. Dropping a handle neither stops the run nor detaches a client.
#[derive(Clone)]
pub struct Run {
    runs: Runs,
    pub(super) record: Arc<Record>,
    /// Whether this handle was returned to the caller that started the run.
    is_own: bool,
    /// Whether the handler starts a run if its request is repeated.
    starts: bool,
    /// The wait of the request for which the handler started the run: the handler can still answer.
    awaited: Option<AwaitedRun>,
}

impl Run {
    pub(super) fn new(
        runs: Runs,
        record: Arc<Record>,
        is_own: bool,
        request: Option<&Parts>,
    ) -> Self {
        let awaited = request.and_then(|parts| Requester::of_parts(parts).await_run(&record));
        Self { runs, record, is_own, starts: true, awaited }
    }

    /// Creates the handle of a run that the handler looked up but didn't start.
    pub(super) const fn found(runs: Runs, record: Arc<Record>) -> Self {
        Self { runs, record, is_own: false, starts: false, awaited: None }
    }

    /// Returns the run's key.
    #[must_use]
    pub fn key(&self) -> &RunKey {
        &self.record.key
    }

    /// Returns the messages of the run that have reached this process so far, for example to
    /// [store](super#storing-answers) them.
    ///
    /// To get all of them, wait until the run has [ended](Self::ended). Even then, messages of
    /// another process's run can be missing if that run was interrupted or replaced.
    ///
    /// Returns `None` if an event was evicted, or if this process has loaded only the events after
    /// a client's id. A run that is running in this process evicts events only when it's
    /// [full](super::RunsBuilder::retain_bytes). Any other run can also lose events, for example when
    /// a new run takes its key, when its age limit passes, or when a memory limit is reached.
    #[must_use]
    pub fn messages(&self) -> Option<Vec<Message>> {
        self.record.messages()
    }

    /// Returns the id of the run's event number `n`. Events are numbered from 1. If `n` is 0, a
    /// client with this id gets all events.
    ///
    /// Use this method for a client that counts events instead of storing ids, such as one that
    /// sends `?after=41`. Insert the id into the request's extensions before you call
    /// [`answer`](Self::answer). A client [can't resume](super::Runs#answers) from this id if a
    /// later event was evicted, or if event `n` doesn't exist yet.
    #[must_use]
    pub fn event_id(&self, n: u64) -> LastEventId {
        EventId::from(Position { epoch: self.record.epoch, sequence: n }).into()
    }

    /// Attaches the client of a request and returns [the answer](super::Runs#answers), to which
    /// you can add headers and [`StreamOptions`](crate::StreamOptions).
    ///
    /// With a [store](super#several-processes), a request whose id isn't from this run gets the
    /// response from [`Runs::answer`](super::Runs::answer), or `404` if that method returns `None`.
    ///
    /// An outer [`SseLayer`](crate::SseLayer) can refuse the answer. If this handle comes from the
    /// call that started the run, and no other client is attached, the refusal cancels the run.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future detaches the client.
    pub async fn answer(&self, parts: &Parts) -> Response<SseBody> {
        let requester = Requester { starts: self.starts, ..Requester::of_parts(parts) };
        let is_of_run = seen(requester.last.as_ref(), self.record.epoch, u64::MAX).is_some();
        if self.runs.shared.is_some() && !is_of_run {
            let answer = self.runs.answer(self.key(), parts).await;
            return answer.unwrap_or_else(|| answer::not_found(&requester));
        }
        let mut response = match self.serve(requester.last.as_ref(), false).await {
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

    /// Attaches a client that has seen the events up to the id `last`. Pass `None` for all events.
    ///
    /// Waits while the run is starting. Returns `None` if `last` is not an id of this run, if a
    /// later event was evicted, if the run is no longer kept, or if the handler's answer wasn't an
    /// event stream.
    ///
    /// For another process's run, the [`Attachment`] fails if this process has no memory left for
    /// the run's events. It also fails if this process can't reach the store for two [lease
    /// periods](super#several-processes), or doesn't receive the event with the id `last` in that
    /// time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future detaches the client.
    pub async fn attach(&self, last: impl Into<Option<LastEventId>>) -> Option<Attachment> {
        let last = last.into().filter(|last| !last.is_empty());
        let record = match self.serve(last.as_ref(), true).await {
            Ok(record) => record,
            Err(StartError::NotFound) => return None,
            // Only another process's run is lost, which no request awaits here.
            Err(_) => return self.lost().attach(None).ok().map(|it| Attachment::new(it, None)),
        };
        let reader = match record.attach(last.as_ref()) {
            Err(NoEvents::GivenWay) => self.lost().attach(None),
            reader => reader,
        };
        let reader = reader.ok()?;
        match reader.started().await {
            Ok(()) | Err(NoEvents::AllSeen(_)) => {
                Some(Attachment::new(reader, self.awaited.clone()))
            }
            Err(_) => None,
        }
    }

    /// With a store, returns a record of the same run that can serve `last`, as `SharedRuns::serve`
    /// does. Without a store, returns the handle's own record.
    async fn serve(
        &self,
        last: Option<&LastEventId>,
        waits: bool,
    ) -> Result<Arc<Record>, StartError> {
        let own = |_: &_| Ok(Arc::clone(&self.record));
        self.runs.ask(|shared| shared.serve(&self.record, last, waits), own).await
    }

    fn lost(&self) -> Arc<Record> {
        let Record { key, epoch, .. } = &*self.record;
        let (lost, mirror) = self.runs.process.mirror(key.clone(), *epoch, 0);
        mirror.lose();
        lost
    }

    /// Cancels the run, as [`Runs::cancel`](super::Runs::cancel) does. Does nothing if it has
    /// ended.
    ///
    /// # Cancel safety
    ///
    /// The same as for [`Runs::cancel`](super::Runs::cancel).
    pub async fn cancel(&self) {
        let cancel = |process: &Arc<Process>| _ = process.cancel_record(&self.record, None);
        self.runs.ask(|shared| shared.cancel_record(&self.record), cancel).await;
    }

    /// Returns how the run ended. Returns `None` if it hasn't ended, or if the handler's answer
    /// wasn't an event stream.
    ///
    /// If another process started the run, [`Interrupted`](Outcome::Interrupted) can also mean that
    /// this process has lost contact with the run's process. The run may still be going on there.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.record.phase().outcome()
    }

    /// Waits until the run has ended and returns its [`outcome`](Self::outcome). Also returns if
    /// this process loses contact with the run's process. A caller that waits here doesn't count as
    /// an attached client.
    ///
    /// # Cancel safety
    ///
    /// You can drop the future at any time and call the method again.
    pub async fn ended(&self) -> Option<Outcome> {
        let ended = || Some(self.record.phase()).filter(|phase| !phase.is_live());
        self.record.until(ended).await.outcome()
    }
}

pub(super) fn on_refusal(process: &Arc<Process>, record: &Arc<Record>) -> OnRefusal {
    let (process, record) = (Arc::clone(process), Arc::clone(record));
    OnRefusal(Arc::new(move || _ = process.end_unattended(&record, Outcome::Cancelled)))
}

opaque_debug!(Run);
