//! The interface to the store that processes share.
//!
//! - [`RunId`] names a run, and [`ProcessId`] a process.
//! - [`Sync`], [`Batch`], [`End`] and [`Check`] are sent to the store. [`Page`] and the types whose
//!   names end with `Reply` are replies. A [`Failure`] says why a command has failed.
//! - The store passes pushes and hints to a function, as [`Incoming`].
//! - [`kept_for`] and [`LIVE`] say how long the store keeps a run.

#[cfg(not(tower_sse_simulation))]
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, UNIX_EPOCH};
use std::{marker, process, sync::Arc};

use bytes::Bytes;
use tokio::runtime::Handle;
use tower_sse::runs::__private::{Epoch, Record};
use tower_sse::runs::{Outcome, RunKey};

/// A run's name. Runs of different keys can have the same epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RunId {
    pub(crate) key: RunKey,
    pub(crate) epoch: Epoch,
}

impl RunId {
    pub(crate) const fn new(key: RunKey, epoch: Epoch) -> Self {
        Self { key, epoch }
    }

    pub(crate) fn of(record: &Record) -> Self {
        Self::new(record.key.clone(), record.epoch)
    }
}

/// The unique name of one process, or more exactly of one connected
/// [`Runs`](tower_sse::runs::Runs). A restarted process has a new name.
///
/// It consists of letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId(Box<str>);

impl ProcessId {
    /// Returns the name with this text, which the store has read from a claim or from the list of
    /// processes.
    pub(crate) fn from_claim(text: &str) -> Self {
        Self(text.into())
    }

    pub(crate) fn draw() -> Self {
        #[cfg(not(tower_sse_simulation))]
        // Hash the time too: two copies of one virtual machine may have the same random keys.
        let drawn = RandomState::new().hash_one(UNIX_EPOCH.elapsed().unwrap_or_default());
        #[cfg(tower_sse_simulation)]
        let drawn = fastrand::u64(..);
        Self(format!("{}-{drawn:016x}", process::id()).into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A run as its owner sees it, sent to learn what the store has of it. See `RedisStore::sync`.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) run: RunId,
    /// The number of entries in the stream, according to replies over this connection. `None` if
    /// that is unknown.
    pub(crate) entries: Option<u64>,
    /// Whether to restore the run: to empty its stream, and to create a lost claim again. A run
    /// whose stream has an end is not restored.
    pub(crate) restores: bool,
    /// Whether a client of another process watches the run. If so, the number of the newest event
    /// is pushed, because earlier batches may not have been.
    pub(crate) is_watched: bool,
    /// The encoded options of the handler, once its response head has arrived. A `Sync` with a
    /// head changes a starting run to running.
    pub(crate) head: Option<Bytes>,
}

/// A process that counts as dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadProcess {
    pub(crate) id: ProcessId,
    /// The dead process's counter, or the name of its heir, as last read from the store. Empty if
    /// the store does not list the dead process.
    pub(crate) seen: String,
}

/// The size above which an empty entry is added after a batch. Scripts read the last entry, which
/// takes Redis 3 µs if the entry is empty, and 196 µs if it has 64 KiB.
const LARGE_BATCH: usize = 4 * 1024;

/// The maximum size of what one command sends. The events of a larger batch, of which there is only
/// one, are sent in parts: other commands would have to wait for the whole event.
const PART: usize = 64 * 1024;

/// Consecutive events of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The sequence number of its first event, at least 1.
    pub(crate) first: u64,
    /// The sequence number of its last event, which is also the first part of the id of the batch's
    /// entry in the stream.
    pub(crate) last: u64,
    /// The events as on the wire, each with its id and a blank line.
    pub(crate) bytes: Bytes,
}

impl Batch {
    /// Returns the number of its events.
    pub(crate) fn len(&self) -> usize {
        let events = self.last.saturating_sub(self.first).saturating_add(1);
        // An event takes at least one byte.
        usize::try_from(events).unwrap_or(usize::MAX).min(self.bytes.len())
    }

    /// Returns the parts in which the batch is sent, with their positions. Returns none if one
    /// command sends the batch.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.bytes.chunks(PART).enumerate().filter(|_| self.has_parts())
    }

    pub(crate) const fn has_parts(&self) -> bool {
        self.bytes.len() > PART
    }

    /// Returns whether to add an empty entry after the batch. Scripts then read this entry instead
    /// of the batch.
    pub(crate) const fn is_large(&self) -> bool {
        self.bytes.len() > LARGE_BATCH
    }
}

/// The reason to end a run. The store refuses to end the run if the reason does not apply.
#[derive(Clone, Debug)]
pub(crate) enum EndMode {
    /// Its owner has exported all events. Ended only if the store's newest event is `newest`, and
    /// the stream has `entries` entries, if given.
    Own { outcome: Outcome, error: Option<Arc<str>>, newest: u64, entries: Option<u64> },
    /// A client or the program stops the run through another process. The owner receives a hint,
    /// learns of the request from the reply to its next [`Sync`], and ends the run itself.
    Cancel {
        /// The lines of an event to add before the end, without an id.
        lines: Option<Bytes>,
    },
    /// Its owner is dead, and this process is the heir, or the store does not list the owner. The
    /// outcome is [`Interrupted`](Outcome::Interrupted). Also ends a run whose claim is gone,
    /// while its end is not reported. An heir also reports a run that another process has ended in
    /// this mode.
    Bury { owner: ProcessId },
    /// The owner's call did not return an event stream, the owner cannot export all events, or it
    /// has no run for a claim that it sent. A run that has not begun becomes void: the claim stays,
    /// but the key is free. Any other run of this process ends with the outcome
    /// [`Interrupted`](Outcome::Interrupted).
    Release,
    /// The run has ended, and its owner needs the memory. Deletes the run's keys, unless the run is
    /// live after all.
    Forget,
    /// The run was replaced. Lets its stream expire after two leases, unless the run has the key.
    Discard,
}

/// A run and how it is ended. See `RedisStore::end`.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) run: RunId,
    pub(crate) mode: EndMode,
}

/// A question about another process's run. See `RedisStore::check`.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) run: RunId,
    /// Whether a client of this process reads the run or waits for it. If so, the owner of a live
    /// run is notified, and treats the run as watched for a time.
    pub(crate) is_watched: bool,
}

/// The reply to `RedisStore::look` or `RedisStore::claim`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LookReply {
    /// The key has no run, or a void one. Only `look` returns this.
    Free,
    /// No live or completed run has the key, but the store may have lost data, so an owner may
    /// still restore a live run's claim.
    Restoring,
    /// The key now belongs to the run. Only `claim` returns this.
    Claimed,
    /// The key no longer belongs to the run to replace: look again. Only `claim` returns this.
    Changed,
    /// A run has the key. `claim` returns this only if the run has not ended or has completed.
    Run {
        run: RunId,
        process: ProcessId,
        /// `None` if it is starting or running.
        outcome: Option<Outcome>,
        /// `false` if an owner may still restore the claim of a later run.
        is_certain: bool,
        /// Whether a process has asked the owner to stop the run.
        is_stopped: bool,
    },
}

/// The reply to a `Sync`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SyncReply {
    /// The owner may append after `newest`.
    InStep {
        /// The sequence number of the newest event in the stream, or 0.
        newest: u64,
        /// The number of entries in the stream.
        entries: u64,
        /// The lines of the last event, perhaps empty, if a process has asked to stop the run.
        stop: Option<Bytes>,
    },
    /// The store lost the claim, or the run's stream has another number of entries than the owner
    /// expects: send a restoring `Sync`, and all events.
    Behind,
    /// The run was ended. The owner ends it too.
    Over {
        outcome: Outcome,
        /// The sequence number of its newest event.
        newest: u64,
        /// Whether another run has taken the key.
        is_replaced: bool,
        /// `false` if a process other than the owner may still have to report the run's end.
        is_reported: bool,
    },
    /// Another run has the key, and this one has not ended: its claim was lost.
    Other,
}

/// The reply to an `End`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndReply {
    /// The run was ended, now or by an earlier command of this process in the same mode.
    Ended,
    /// The run is interrupted, because its owner is dead. This process reports the end if it has
    /// not yet, and then records that in the store. Only a reply to `Bury`.
    Buried { newest: u64 },
    /// Another process has ended the run, or this process has ended it in another mode. For `Bury`,
    /// also if the end is reported.
    Over(Outcome),
    /// For `Release`, the run is void. For `Forget`, its keys are deleted. For `Discard`, its
    /// stream expires. Only a reply to these modes.
    Freed,
    /// The store has other events than the owner has exported: send a restoring `Sync`. Only a
    /// reply to `Own`.
    Behind,
    /// For `Cancel`, the owner was asked to end the run. For `Bury`, the owner lives or has another
    /// heir. For `Forget`, the run is live. For `Discard`, the run has the key.
    Live,
    /// Another run has the key. For `Release`, also if the claim belongs to another process.
    Other,
    /// No run has the key, and `Bury` did not end this one.
    Gone,
}

/// The reply to a `Check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckReply {
    pub(crate) state: RunState,
    /// The newest event in its stream.
    pub(crate) newest: u64,
    /// The encoded options of the handler, if they are known.
    pub(crate) head: Option<Bytes>,
    /// The owner of a live run.
    pub(crate) owner: Option<ProcessId>,
}

/// What the store has of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunState {
    /// The call has not answered yet.
    Starting,
    Running,
    /// The run has ended, and its stream has an end.
    Ended,
    /// The call did not return an event stream.
    Void,
    /// Another run has the key, or this run has ended and its claim is lost. Its stream may still
    /// be kept.
    Other,
    /// The key has no run, or an earlier one: this run was forgotten, or its claim was lost.
    Gone,
}

/// A part of a run's stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// The encoded options of the handler, if the page begins with them.
    pub(crate) head: Option<Bytes>,
    /// The batches, in order. The first one may begin before the requested events.
    pub(crate) batches: Vec<Batch>,
    /// The end, if the page reaches it.
    pub(crate) end: Option<StoredEnd>,
    /// Whether the stream had nothing after this page.
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

/// A message about a run, which the store passes to [`Receive`].
#[derive(Clone, Debug)]
pub(crate) enum Push {
    Batch(Batch),
    /// The stream has events up to this number, which may not have been pushed. `u64::MAX` is no
    /// event's number: it says that the run has begun.
    Newest(u64),
    End(StoredEnd),
    Void,
}

/// Why a command has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The store cannot be reached, or does not accept the command at present. Nothing was changed.
    Unavailable,
    /// The server cannot serve this session. A new session, perhaps with another server, may
    /// succeed. Nothing was changed.
    WrongServer,
    /// The script is not loaded. Nothing was changed.
    NoScript,
    /// The reply is missing. The command may have been executed, or be executed later.
    Lost,
    /// A script may have stopped halfway. This run's keys aren't always the cause: some versions of
    /// Redis send the same code if the user lacks a permission for a command in the script.
    Stopped,
    /// The command failed, but those for other runs may succeed. For example, a key has another
    /// type.
    Run,
    /// Another version of the protocol wrote the run's claim.
    Version,
}

/// The memory of an entry of a stream besides its events, in bytes.
pub(crate) const ENTRY: usize = 48;

/// The number of the connection to a store, or `None` while the store cannot be reached. Rises with
/// each new connection. After a restart of the server, the number is new even if a proxy kept the
/// connection open.
pub(crate) type Connection = Option<u64>;

/// The minimum of [`kept_for`].
const MIN_KEPT_FOR: Duration = Duration::from_secs(60);

/// The maximum of [`kept_for`]. Redis refuses times that overflow when added to its clock.
const MAX_KEPT_FOR: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How much longer the store keeps a live run than one that has ended. The time begins again with
/// each `Sync`, which the owner sends about every half hour or more often.
pub(crate) const LIVE: Duration = Duration::from_secs(3_600);

/// Returns how long the store keeps a run that has ended.
pub(crate) fn kept_for(retain_for: Duration, lease: Duration) -> Duration {
    retain_for.max(lease * 4).clamp(MIN_KEPT_FOR, MAX_KEPT_FOR)
}

/// Receives the pushes and hints of other processes. Must not block, and may be called after the
/// [`Runs`](tower_sse::runs::Runs) was dropped.
pub(crate) type Receive = Arc<dyn Fn(Incoming) + Send + marker::Sync>;

/// What a store passes to [`Receive`].
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A push of a run to which this process subscribes. Pushes of one run are passed in order.
    Push(RunId, Push),
    /// A new connection replaces one that broke. What was sent over the old one may be missing, so
    /// all runs of this process are synchronized, and all mirrors are loaded. The store passes this
    /// once all mirrored runs are subscribed again.
    Reconnected,
    /// Another process has ended, or asks to stop, a run of this process, which then synchronizes
    /// the run. A forged hint therefore costs only a command.
    Hint(Epoch),
    /// Another process asks to stop a run of this process, or has replaced it. Read from the store
    /// with a beat, because the hint can be lost.
    Asked(Epoch),
    /// A client of another process watches this run, whose claim names this process as its owner.
    Watched(RunId),
    /// Another run has taken this run's key, so requests no longer find this run. It may still be
    /// live here.
    Replaced(Epoch),
    /// A process is dead, and has no living heir other than this process.
    Dead(DeadProcess),
    /// The store may have lost data, or this process was declared dead. All runs of this process
    /// are synchronized.
    HintToAll,
}

/// Runs a task. In a simulation, the task belongs to the process that starts it.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    spawn_on(&Handle::current(), task);
}

/// Runs a task on this runtime.
pub(crate) fn spawn_on(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    #[cfg(tower_sse_simulation)]
    let task = tower_sse::simulation::adopt(task);
    runtime.spawn(task);
}
