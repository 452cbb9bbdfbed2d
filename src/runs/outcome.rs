use std::{error::Error, fmt, sync::Arc, time::Duration};

use super::{RunKey, key::epoch_age};
use crate::signals::{INTERRUPTED, Interrupted, RecordedError, Stopped, program_error};
use crate::{BoxError, error::with_causes, history::Epoch};

named_enum! {
    /// The way a run ended.
    ///
    /// If a client's next event was evicted, the client's response body fails, whatever the
    /// outcome. If you set [`on_error`](crate::SseLayer::on_error), the body ends with your event
    /// instead.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum Outcome {
        /// The source ended without an error. The clients' streams end cleanly.
        Completed = "completed",
        /// The run failed, for one of these reasons:
        ///
        /// - The source failed or panicked, or your code panicked before it returned a stream.
        /// - An event was larger than the [size limit](super::RunsBuilder::retain_bytes) allows.
        /// - An [`SseLayer`](crate::SseLayer) inside the [`RunLayer`](super::RunLayer) ended the
        ///   stream early.
        ///
        /// The clients' bodies fail. With an outer [`SseLayer`](crate::SseLayer), an `EventSource`
        /// gets the event [`interrupted`](super#half-an-answer) instead. If you set
        /// [`on_error`](crate::SseLayer::on_error), open streams end with your event. If the run's
        /// last event is a [`late_event`](crate::early_head::EarlyHeadLayer::late_event) that
        /// reports an error, the outer `SseLayer` ends the body cleanly. In other processes, the
        /// clients' bodies end as after any other failure.
        Failed = "failed",
        /// The program cancelled or replaced the run. With an outer [`SseLayer`](crate::SseLayer),
        /// the clients' bodies end cleanly, without the [terminator](crate::SseLayer::terminator).
        /// Otherwise, they fail.
        ///
        /// A run is also cancelled if an outer layer [refuses](super::Run::answer) the client that
        /// started it, and no other client is attached.
        Cancelled = "cancelled",
        /// The run had no client for as long as
        /// [`abandon_after`](super::RunsBuilder::abandon_after) allows.
        Abandoned = "abandoned",
        /// The run's process or runtime [shut down](super::Runs::drain), the process died or was
        /// declared dead, or the store couldn't keep the run. The clients' streams end in the same
        /// way as after [`Failed`](Self::Failed).
        Interrupted = "interrupted",
    }
}

/// The report on a run that has ended, for [`RunsBuilder::on_end`](super::RunsBuilder::on_end).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunEnd {
    /// The run's key.
    pub key: RunKey,
    pub(crate) epoch: Epoch,
    /// How the run ended.
    pub outcome: Outcome,
    /// The number of recorded events, including evicted ones. If another process declared the run
    /// dead, this number includes only the events that the store had received.
    pub events: u64,
    /// The number of bytes that the recorded events take on the wire, including ids and evicted
    /// events. It's 0 if another process declared the run dead.
    pub bytes: u64,
    /// The time from the run's start until its end, or until another process declared it dead.
    pub age: Duration,
}

impl RunEnd {
    pub(crate) fn of_dead(key: RunKey, epoch: Epoch, events: u64) -> Self {
        Self { key, epoch, outcome: Outcome::Interrupted, events, bytes: 0, age: epoch_age(epoch) }
    }

    /// Returns the run's epoch, the first part of its events' ids. No other run with this key has
    /// the same epoch. With a store, a run can be reported more than once: compare keys and epochs
    /// to count it once.
    #[must_use]
    pub fn id(&self) -> String {
        self.epoch.to_string()
    }
}

/// The reason a run was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The limit [`max_running`](super::RunsBuilder::max_running) is reached, or
    /// [`max_memory`](super::RunsBuilder::max_memory) has no room for another run.
    Full,
    /// The key's owner has reached
    /// [`max_running_per_owner`](super::RunsBuilder::max_running_per_owner).
    OwnerFull,
    /// [`Runs::drain`](super::Runs::drain) was called.
    Draining,
    /// The request has a last event id, but no run has the request's key. With a
    /// [store](super#several-processes), you also get this error if the id is from another run.
    NotFound,
    /// The key may have a run that can't be found or loaded now, so a new run might be a duplicate.
    /// Possible causes:
    ///
    /// - The store can't be reached, or refuses commands.
    /// - The store restarted, was replaced or [lost its data](super#if-the-store-loses-its-data) a
    ///   short time ago, so the run may yet be restored.
    /// - The key's run was started with another version of the store's protocol.
    /// - Loading the run's events, or claiming the key, took too long.
    Unavailable,
}

error_text!(
    StartError,
    |it| "{}",
    match it {
        Self::Full => "too many runs are running",
        Self::OwnerFull => "too many runs of this owner are running",
        Self::Draining => "no runs are started during a shutdown",
        Self::Unavailable => "the key may have a run that cannot be found or loaded now",
        Self::NotFound => "no run with the request's key has its last event id",
    }
);

/// The error of an [`Attachment`](super::Attachment).
///
/// If the run's source failed, the text of this error includes the source's error and its causes,
/// up to 1,024 bytes. If the source failed in this process, [`on_error`](crate::SseLayer::on_error)
/// receives the [source's error](Self::error), not the `RunError`.
#[derive(Clone, Debug)]
pub struct RunError {
    what: &'static str,
    outcome: Option<Outcome>,
    failure: Option<Failure>,
}

impl RunError {
    pub(super) const LAGGED: Self = Self::new("the next event of the run was evicted");
    pub(super) const LOST: Self = Self::new("the contact with the run's process is lost");

    const fn new(what: &'static str) -> Self {
        Self { what, outcome: None, failure: None }
    }

    pub(super) const fn ended(outcome: Outcome, failure: Option<Failure>) -> Self {
        Self { what: "the run ended", outcome: Some(outcome), failure }
    }

    /// Returns how the run ended. Returns `None` if the client's next event was evicted, or if this
    /// process has lost contact with the run's process.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Returns the error of the run's source, without the
    /// [wrappers](crate::SseLayer::on_error) of frameworks such as axum.
    ///
    /// Returns `None` if the attachment failed for another reason, or if the source ran in another
    /// process.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + 'static)> {
        self.recorded().map(RecordedError::program_error)
    }

    fn recorded(&self) -> Option<&RecordedError> {
        self.failure.as_ref()?.error()
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        self.outcome.iter().try_for_each(|outcome| write!(f, ": {outcome}"))?;
        self.failure.iter().try_for_each(|failure| write!(f, ": {}", failure.text()))
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match (self.recorded(), self.outcome()?) {
            // `SseLayer` ends such a stream cleanly.
            (_, Outcome::Cancelled) => Some(&Stopped::Cancelled),
            (Some(recorded), _) if recorded.has_told() => Some(&Stopped::Told),
            // `SseLayer::on_error` finds the source's error through this cause.
            (Some(recorded), _) => Some(recorded),
            // For this cause, `SseLayer` sends an `EventSource` the event `interrupted`.
            (None, _) => Some(&Interrupted("the run ended", INTERRUPTED)),
        }
    }
}

/// The maximum length in bytes of an error's text, which can contain a client's or upstream's data.
const MAX_TEXT: usize = 1024;

/// Why a run failed or was interrupted: a text and, in the run's process, the error of the source.
/// Dropping the last clone can run code of the program, so no lock may be held.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: Arc<str>,
    error: Option<RecordedError>,
}

impl Failure {
    pub(crate) fn of(error: BoxError) -> Self {
        let text = bounded(with_causes(program_error(&*error)).into());
        Self(Arc::new(Inner { text, error: Some(RecordedError(error.into())) }))
    }

    pub(crate) fn text(&self) -> &Arc<str> {
        &self.0.text
    }

    fn error(&self) -> Option<&RecordedError> {
        self.0.error.as_ref()
    }
}

impl<T: Into<Arc<str>>> From<T> for Failure {
    fn from(text: T) -> Self {
        Self(Arc::new(Inner { text: bounded(text.into()), error: None }))
    }
}

fn bounded(text: Arc<str>) -> Arc<str> {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::{Failure, MAX_TEXT};

    #[test]
    fn text_of_an_error_is_cut_between_two_characters() {
        let text = "x".repeat(MAX_TEXT);
        assert_eq!(**Failure::from(text.clone()).text(), *text);
        let long = format!("{}éé", "x".repeat(MAX_TEXT - 3));
        assert_eq!(**Failure::from(long.clone()).text(), long[..MAX_TEXT - 1]);
        assert_eq!(**Failure::of(long.clone().into()).text(), long[..MAX_TEXT - 1]);
    }
}
