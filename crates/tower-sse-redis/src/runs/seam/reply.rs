use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tower_sse::runs::Outcome;

use super::{
    command::Batch,
    run_id::{ProcessId, RunId},
};

/// The reply to one [`Command`](super::command::Command).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Look(LookReply),
    Sync(SyncReply),
    Renew(RenewReply),
    Append(AppendReply),
    Trim {
        /// The number of entries that were removed.
        entries: u64,
    },
    End(EndReply),
    Check(CheckReply),
}

/// The reply to a `Look` or `Claim`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LookReply {
    /// The key has no run, or a void one. Sent only to `Look`.
    Free,
    /// No live or completed run has the key, but the store has lost data: for a lease, an owner may
    /// restore the claim of a running run.
    Restoring,
    /// The key now belongs to the run. Sent only to `Claim`.
    Claimed,
    /// The key no longer belongs to the run to replace: look again. Sent only to `Claim`.
    Changed,
    /// A run that is starting or running has the key.
    Live { run: RunId, process: ProcessId, liveness: Liveness },
    /// A run that has ended has the key. Sent to `Claim` only if the run has completed.
    Ended {
        run: RunId,
        outcome: Outcome,
        /// `false` if an owner may still restore the claim of a later run.
        is_certain: bool,
    },
}

/// Whether the owner of a live run renews its lease. With Redis, `liveness` in `lua/common.lua`
/// decides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Liveness {
    #[default]
    Alive,
    /// The lease has expired, but the owner may still renew it. The caller looks again after this
    /// time.
    Late(Duration),
    /// The run can be [buried](super::command::EndMode::Bury).
    Dead,
}

/// The reply to a `Sync`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SyncReply {
    /// The lease is renewed, and the owner may append after `newest`.
    InStep {
        /// The sequence number of the newest event in the stream, or 0.
        newest: u64,
        /// The number of entries in the stream.
        entries: u64,
        /// The time for which a client of another process still watches the run.
        watched: Duration,
    },
    /// The lease is renewed, but the stream does not have the entries that the owner expects: send
    /// a `Sync` that restores, and all events.
    Behind,
    /// The store lost the claim: send a `Sync` that restores, and all events.
    Gone,
    /// The run was ended. The owner ends it too.
    Over {
        outcome: Outcome,
        /// The event that another process has added before it cancelled the run.
        event: Option<Batch>,
        /// Whether another run has taken the key.
        is_replaced: bool,
    },
    /// Another run has the key, and this one has no end: its claim was lost.
    Other,
}

/// The reply to a `Renew`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenewReply {
    /// The lease is renewed.
    Renewed {
        /// The time for which a client of another process still watches the run.
        watched: Duration,
    },
    /// The run is not a live one of this process, or its stream has other entries than expected:
    /// send a `Sync`.
    Unsure,
}

/// The reply to an `Append`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendReply {
    /// Appended as this number of entries.
    Appended { entries: u64 },
    /// The stream is missing, has an end, or has a newer event: send a `Sync`.
    Refused,
}

/// The reply to an `End`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReply {
    /// The run is ended, now or by an earlier command of this process in the same mode.
    Ended {
        outcome: Outcome,
        /// The sequence number of the newest event in its stream.
        newest: u64,
    },
    /// Another process had ended the run, or this one in another mode.
    Over(Outcome),
    /// The call has answered with an event stream, so the run cannot be void; or the run is live,
    /// so it cannot be forgotten; or the run has the key, so it was not replaced. Only to `Void`,
    /// `Forget` and `Discard`.
    Running,
    /// The run is void, or was forgotten. Only to `Void`, `Release`, `Forget` and `Discard`.
    Freed,
    /// The store does not have the events that the owner has exported: send a `Sync`. Only to
    /// `Own`.
    Behind,
    /// The owner is not dead. Only to `Bury`.
    NotDead(Liveness),
    /// Another run has the key, or the claim is not of this process.
    Other,
    /// No run has the key.
    Gone,
}

/// The reply to a `Check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CheckReply {
    /// The call of the run has not answered yet.
    Starting(Liveness),
    /// The run is running, and `newest` is the newest event in its stream.
    Running { newest: u64, liveness: Liveness, head: Option<Bytes> },
    /// The run has ended. Its stream has an end, if it has a stream.
    Ended { newest: u64, outcome: Outcome, head: Option<Bytes> },
    /// The call did not return an event stream.
    Void,
    /// Another run has the key. This run has ended, and its stream may still be kept.
    Other { newest: u64, head: Option<Bytes> },
    /// The store has no run with the key, or one that ended earlier: the run was forgotten, or its
    /// claim was lost.
    Gone,
}

/// A part of a run's stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// The head, if the page begins with it.
    pub(crate) head: Option<Bytes>,
    /// The batches, in order. The first one may also have events before those that were asked for.
    pub(crate) batches: Vec<Batch>,
    /// The end, if the page reaches it.
    pub(crate) end: Option<StoredEnd>,
    /// Whether the stream had nothing behind this page.
    pub(crate) is_last: bool,
}

/// The end of a run's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredEnd {
    pub(crate) outcome: Outcome,
    pub(crate) error: Option<Arc<str>>,
    /// The sequence number of the run's last event.
    pub(crate) newest: u64,
    /// The encoded options of the handler, if they are known. A push does not have them.
    pub(crate) head: Option<Bytes>,
}

/// A change of a run's stream, which the store passes to the
/// [`Receive`](super::inbox::Receive) function.
#[derive(Clone, Debug)]
pub(crate) enum Push {
    Head(Bytes),
    Batch(Batch),
    /// The stream has events up to this number. Those before it may not have been pushed.
    Newest(u64),
    End(StoredEnd),
    Void,
}

/// Why a command has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The store cannot be reached, or does not accept the command at present. Nothing was changed.
    Unavailable,
    /// The server cannot serve this connection, or no longer. Nothing was changed. A new connection
    /// can lead to another server.
    WrongServer,
    /// The script is not loaded. Nothing was changed.
    NoScript,
    /// The reply is missing. The command may have been executed, or be executed later.
    Lost,
    /// A script may have stopped halfway, and its keys need not be the reason: if the user lacks a
    /// permission for a command of the script, some versions of Redis answer with the same code.
    Stopped,
    /// The command failed for this run alone, such as on a key of another type.
    Run,
    /// Another version of the protocol wrote the run's claim.
    Version,
}
