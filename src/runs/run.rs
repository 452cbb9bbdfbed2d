use std::{sync::Arc, time::Duration};

use http::{Response, request::Parts};

use super::{
    AnswerBody, Attachment, Outcome, RunKey, Runs, StartError,
    answer::{self, Requester},
    process::Process,
    record::{NoEvents, Record},
};
use crate::{connection::LastEventId, event::Message, signals::OnRefusal};

/// A handle to a run: an event stream that is being recorded, or whose recording has ended.
///
/// [`Runs::start`](super::Runs::start), [`Runs::replace`](super::Runs::replace) and
/// [`Runs::get`](super::Runs::get) return it. Clones refer to the same run; dropping them neither
/// stops the run nor detaches a client.
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

    /// Returns the time since the run was started. For a run of another process, it is the time since
    /// this process first saw it.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.record.started_at.elapsed()
    }

    /// Returns all recorded events, for a program that stores answers. They are complete once the
    /// run has [ended](Self::ended).
    ///
    /// Returns `None` if an event was evicted. That does not happen to a run that is smaller than
    /// [`retain_bytes`](super::RunsBuilder::retain_bytes) while it is running. Afterwards, it happens
    /// if [`max_memory`](super::RunsBuilder::max_memory) is reached or
    /// [`retain_for`](super::RunsBuilder::retain_for) has passed.
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

    /// Attaches the client of a request and returns the answer. [`Runs`](super::Runs#answers) has
    /// the table of all answers.
    ///
    /// The handler can add headers to the response, and extensions such as
    /// [`StreamOptions`](crate::StreamOptions).
    ///
    /// If an outer [`SseLayer`](crate::SseLayer) refuses the answer of the request that started the
    /// run, and no other client is attached, the run is cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future detaches the client.
    pub async fn answer(&self, parts: &Parts) -> Response<AnswerBody> {
        let requester = Requester::of_parts(parts);
        let mut response = match self.runs.serve(&self.record, requester.last.as_ref(), false).await
        {
            Ok(record) => {
                answer::answer(&record, &requester).await.unwrap_or_else(answer::not_found)
            }
            Err(error) => error.answer_to(requester.client),
        };
        if self.is_own {
            response.extensions_mut().insert(on_refusal(&self.runs.process, &self.record));
        }
        response
    }

    /// Attaches a client that has seen the events up to the id `last`, or no events without one.
    ///
    /// Waits until the call has answered. Returns `None` if `last` is not an id of this run, if an
    /// event after it was evicted, or if the run is forgotten. Returns an attachment that fails if this
    /// process has no memory for the run of another one, or cannot reach it for two leases.
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
    /// when its task runs next. Does nothing if the run has ended.
    ///
    /// # Cancel safety
    ///
    /// The run is cancelled at the first poll. If the future is dropped before that, nothing
    /// happens.
    pub async fn cancel(&self) {
        self.runs.cancel_record(&self.record).await;
    }

    /// Returns how the run ended, or `None` if it is still running or its answer was not an event
    /// stream.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.record.phase().outcome()
    }

    /// Waits until the run has ended.
    ///
    /// Returns `None` if there is no run, because its call did not return an event stream.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped and the method called again at any time. It does not count as an
    /// attached client.
    pub async fn ended(&self) -> Option<Outcome> {
        self.record.until_ended().await
    }
}

/// Returns a callback that an outer layer calls if it refuses the stream of the client that started
/// the run.
pub(super) fn on_refusal(process: &Arc<Process>, record: &Arc<Record>) -> OnRefusal {
    let (process, record) = (Arc::clone(process), Arc::clone(record));
    OnRefusal::new(move || _ = process.end_unattended(&record, Outcome::Cancelled))
}

opaque_debug!(Run);
