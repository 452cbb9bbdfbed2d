use std::sync::Arc;

use bytes::Bytes;
use tower_sse::runs::{Outcome, RunKey, support::ENTRY_OVERHEAD};

use super::run_id::RunId;

/// One operation on the store. Each variant names the variant of
/// [`Reply`](super::reply::Reply) that answers it.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Returns which run has a key. Changes nothing, except that it records when a late owner was
    /// seen. Answered by [`Reply::Look`](super::reply::Reply::Look).
    Look(RunKey),
    /// Claims a key for a run of this process, in the phase `starting`, with a new lease. A repeated
    /// claim of the same run is answered by `Claimed` again. The owner of a run that had the key is
    /// told.
    /// Answered by [`Reply::Look`](super::reply::Reply::Look).
    Claim {
        run: RunId,
        /// The run to replace, from a `Look`. If it is live, it is cancelled in the same step.
        ///
        /// With `None`, the key is claimed if no run has it. It is also claimed in place of a run
        /// that is void, or that has ended with an outcome other than
        /// [`Completed`](Outcome::Completed). Any other run is returned, as by `Look`.
        earlier: Option<RunId>,
    },
    /// Renews the lease of a run of this process, begins its stream, and returns what the store
    /// has of it.
    /// Answered by [`Reply::Sync`](super::reply::Reply::Sync).
    Sync(Sync),
    /// Renews the lease of a run. It is cheaper than a `Sync`, even if it looks at the stream.
    /// Answered by [`Reply::Renew`](super::reply::Reply::Renew).
    Renew(Renew),
    /// Appends a batch to a run's stream. It may be sent only after a `Sync` that was answered by
    /// `InStep` over the same connection.
    /// Answered by [`Reply::Append`](super::reply::Reply::Append).
    Append(Append),
    /// Removes the batches of a run that end below a sequence number.
    /// Answered by [`Reply::Trim`](super::reply::Reply::Trim).
    Trim(Trim),
    /// Ends a run. Nothing can be appended afterwards.
    /// Answered by [`Reply::End`](super::reply::Reply::End).
    End(End),
    /// Returns the state of a run of another process, and reports to its owner that it is watched.
    /// Answered by [`Reply::Check`](super::reply::Reply::Check).
    Check(Check),
}

/// The input of [`Command::Sync`].
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) run: RunId,
    /// The number of entries that the stream has, as the replies over this connection say. `None`
    /// before the first reply to a `Sync`.
    pub(crate) entries: Option<u64>,
    /// Whether to restore the run: to empty its stream, and to create its claim again if that is
    /// missing. A run that has an end in its stream is not restored.
    pub(crate) restores: bool,
    /// Whether the owner pushes its batches. If not, and a client watches the run meanwhile, the
    /// number of the newest event is pushed.
    pub(crate) pushes: bool,
    /// The encoded options of the handler, once its response head has arrived. The first `Sync`
    /// with a head makes a starting run a running one.
    pub(crate) head: Option<Bytes>,
}

/// The input of [`Command::Renew`].
#[derive(Clone, Debug)]
pub(crate) struct Renew {
    pub(crate) run: RunId,
    /// The number of entries that the stream must have. `None` if the store need not look at the
    /// stream.
    pub(crate) entries: Option<u64>,
}

/// The input of [`Command::Append`].
#[derive(Clone, Debug)]
pub(crate) struct Append {
    pub(crate) run: RunId,
    pub(crate) batch: Batch,
    /// Whether to push the batch, because a client of another process watches the run.
    pub(crate) pushes: bool,
}

/// Consecutive events of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The sequence number of its first event, at least 1.
    pub(crate) first: u64,
    /// The sequence number of its last event. It is the id of the stream's entry.
    pub(crate) last: u64,
    /// The events as on the wire, each with its id and a blank line.
    pub(crate) bytes: Bytes,
}

impl Batch {
    /// Returns the memory of its events in a record.
    pub(crate) fn memory(&self) -> usize {
        let events = self.last.saturating_sub(self.first).saturating_add(1);
        // An event takes at least one byte.
        let events = usize::try_from(events).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.len().saturating_add(events.saturating_mul(ENTRY_OVERHEAD))
    }
}

/// The input of [`Command::Trim`].
#[derive(Clone, Debug)]
pub(crate) struct Trim {
    pub(crate) run: RunId,
    /// The sequence number of the oldest event to keep.
    pub(crate) keep_from: u64,
}

/// The input of [`Command::End`].
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) run: RunId,
    pub(crate) mode: EndMode,
}

/// The reason to end a run, which decides whether it is ended.
#[derive(Clone, Debug)]
pub(crate) enum EndMode {
    /// Its owner has exported all events. Ended only if the store's newest event is `newest` and
    /// the stream has this number of `entries`.
    Own { outcome: Outcome, error: Option<Arc<str>>, newest: u64, entries: Option<u64> },
    /// Its owner no longer has all events to export. The outcome is
    /// [`Interrupted`](Outcome::Interrupted).
    Lost,
    /// A client or the program stops it, at any process. The outcome is
    /// [`Cancelled`](Outcome::Cancelled). Its owner gets a hint.
    Cancel {
        /// The lines of an event to add before the end, without an id. It is added only if the run
        /// has begun, and pushed. Its sequence number is a billion above the next one.
        lines: Option<Bytes>,
    },
    /// Its owner is dead. Ended only if the store agrees. The outcome is
    /// [`Interrupted`](Outcome::Interrupted).
    Bury,
    /// Its owner's call did not return an event stream. Ended only while it is starting. The claim
    /// stays, and the key is free.
    Void,
    /// The reply to a claim of this process was lost, and the process has no run for it. A run that
    /// this process has claimed ends: like [`Void`](Self::Void) if it has not begun, otherwise with
    /// the outcome [`Interrupted`](Outcome::Interrupted). Any other run is left alone.
    Release,
    /// The run has ended and its owner needs the memory. Its claim and its stream are deleted, but
    /// not those of a live run.
    Forget,
    /// The run was replaced. Its stream is deleted, unless the run has the key.
    Discard,
}

/// The input of [`Command::Check`].
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) run: RunId,
    /// Whether a client of this process is attached. The owner is then told that the run is
    /// watched until 3/4 of a lease from now.
    pub(crate) is_watched: bool,
    /// Whether the reply contains the head.
    pub(crate) wants_head: bool,
}
