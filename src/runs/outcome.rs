use std::{fmt, time::Duration};

use super::{RunKey, epoch};
use crate::{connection::CloseReason, history::Epoch};

/// The way a run ended.
///
/// Whatever the outcome, the body of a client fails if the client's next event was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The source ended. Every attached client gets a clean end.
    Completed,
    /// The body of every attached client fails, because one of these has happened:
    ///
    /// - The source failed or panicked.
    /// - One of its events was larger than [`retain_bytes`](super::RunsBuilder::retain_bytes).
    /// - The run took longer than [`max_duration`](super::RunsBuilder::max_duration).
    /// - An [`SseLayer`](crate::SseLayer) inside of the layer of runs ended the stream early.
    Failed,
    /// The program cancelled or replaced the run, or an outer layer
    /// [refused](super::Run::answer) the answer to its only client. Inside
    /// [`SseLayer`](crate::SseLayer), every attached client gets a clean end without the
    /// [terminator](crate::SseLayer::terminator); an [`Attachment`](super::Attachment) itself fails.
    Cancelled,
    /// No client was attached for [`abandon_after`](super::RunsBuilder::abandon_after).
    Abandoned,
    /// The server [shut down](super::Runs::drain), or its runtime did, or the process died. The body
    /// of every attached client fails.
    Interrupted,
}

impl Outcome {
    /// All outcomes, in the order of the variants, which is the order of their counters.
    #[doc(hidden)]
    pub const ALL: [Self; 5] =
        [Self::Completed, Self::Failed, Self::Cancelled, Self::Abandoned, Self::Interrupted];

    /// Returns the name of the variant in lower case, for logs and as the label of a metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
            Self::Interrupted => "interrupted",
        }
    }

    /// Returns the reason that a handler's [`Disconnect`](crate::Disconnect) reports.
    pub(crate) const fn close_reason(self) -> CloseReason {
        match self {
            Self::Completed => CloseReason::Ended,
            Self::Failed => CloseReason::Failed,
            Self::Cancelled => CloseReason::Cancelled,
            Self::Abandoned => CloseReason::Disconnected,
            Self::Interrupted => CloseReason::Drained,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The report of a run that has ended, as passed to
/// [`RunsBuilder::on_end`](super::RunsBuilder::on_end).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunEnd {
    /// The key of the run.
    pub key: RunKey,
    pub(crate) epoch: Epoch,
    /// How the run ended.
    pub outcome: Outcome,
    /// The number of recorded events, including those that have been evicted. If the process of the
    /// run died, it is the number that the store has.
    pub events: u64,
    /// The total size of these events in bytes on the wire, including their ids. If the process of
    /// the run died, it is 0, because the store does not know it.
    pub bytes: u64,
    /// The time from the start of the call to the end of the run. If the process of the run died, the
    /// run ends when another process notices.
    pub age: Duration,
}

impl RunEnd {
    /// Creates the report of a run whose process is dead.
    pub(crate) fn of_dead(key: RunKey, epoch: Epoch, events: u64) -> Self {
        Self { key, epoch, outcome: Outcome::Interrupted, events, bytes: 0, age: epoch::age(epoch) }
    }

    /// Returns the first part of the ids of the run's events. No other run with the same key has
    /// it.
    ///
    /// If runs are shared by several processes, the end of a run whose process was out of reach can
    /// be reported twice. A program that must count it once compares the ids.
    #[must_use]
    pub fn id(&self) -> String {
        self.epoch.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn outcomes_are_listed_in_the_order_of_the_variants() {
        for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at, "{outcome}");
        }
    }
}
