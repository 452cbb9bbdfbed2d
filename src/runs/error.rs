use std::{error::Error, fmt};

use super::{Outcome, failure::Failure};
use crate::signals::{RecordedError, Stopped};

/// The reason a run was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// [`max_running`](super::RunsBuilder::max_running) runs are already running, or
    /// [`max_memory`](super::RunsBuilder::max_memory) has no room for another one.
    Full,
    /// The key's owner has as many running runs as
    /// [`max_running_per_owner`](super::RunsBuilder::max_running_per_owner) allows.
    OwnerFull,
    /// [`Runs::drain`](super::Runs::drain) was called.
    Draining,
    /// The request has a last event id, but no run has its key. A new run would be a different
    /// answer.
    NotFound,
    /// The store of the [connected](super::Runs) runs cannot be reached or lost its data less than
    /// a lease ago, or another version of the protocol wrote the run's claim. A run that is started
    /// now could be started twice.
    Unavailable,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many runs are running",
            Self::OwnerFull => "too many runs of this owner are running",
            Self::Draining => "no runs are started during a shutdown",
            Self::Unavailable => "the store of runs cannot be reached",
            Self::NotFound => "the request has a last event id, but no run has its key",
        })
    }
}

impl Error for StartError {}

/// The error of an [`Attachment`](super::Attachment).
///
/// Its text includes the text of the run's error. If the run's source failed in this process,
/// [`error`](Self::error) returns the error itself, and the closure of
/// [`on_error`](crate::SseLayer::on_error) receives that instead of a `RunError`.
///
/// The run's error is not among the [sources](Error::source) of this one. Otherwise
/// [`cancellation_if`](crate::SseLayer::cancellation_if) could mistake an error of the run for a
/// cancellation of this client's stream.
#[derive(Clone, Debug)]
pub struct RunError(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Ended(Outcome, Option<Failure>),
    Lagged,
    Lost,
}

impl RunError {
    pub(super) const LAGGED: Self = Self(Kind::Lagged);
    pub(super) const LOST: Self = Self(Kind::Lost);

    pub(super) const fn ended(outcome: Outcome, failure: Option<Failure>) -> Self {
        Self(Kind::Ended(outcome, failure))
    }

    /// Returns how the run ended. Returns `None` if this client's next event was evicted before the
    /// client read it, or if this process has lost contact with the run's process.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        match self.0 {
            Kind::Ended(outcome, _) => Some(outcome),
            Kind::Lagged | Kind::Lost => None,
        }
    }

    /// Returns the error that the source of the run returned, without those in which hosts have
    /// wrapped it.
    ///
    /// Returns `None` if the run has ended in another way, such as a panic, or in another process:
    /// only the text of an error is shared between processes. An error is kept as long as its run,
    /// and does not count for [`max_memory`](super::RunsBuilder::max_memory).
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + 'static)> {
        self.recorded().map(RecordedError::program_error)
    }

    fn recorded(&self) -> Option<&RecordedError> {
        match &self.0 {
            Kind::Ended(_, failure) => failure.as_ref()?.error(),
            Kind::Lagged | Kind::Lost => None,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Lagged => f.write_str("the next event of the run was evicted"),
            Kind::Lost => f.write_str("the contact with the run's process is lost"),
            Kind::Ended(outcome, None) => write!(f, "the run ended: {outcome}"),
            Kind::Ended(outcome, Some(failure)) => {
                write!(f, "the run ended: {outcome}: {}", failure.text())
            }
        }
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if self.outcome() == Some(Outcome::Cancelled) {
            // `SseLayer` ends such a stream cleanly.
            return Some(&Stopped);
        }
        // `SseLayer::on_error` finds the error of the run by it.
        self.recorded().map(|recorded| recorded as _)
    }
}
