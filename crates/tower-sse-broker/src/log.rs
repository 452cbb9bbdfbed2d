use std::{error, future::ready, time::Duration};

use tower_sse::{Event, event::InvalidField, hub::broker::Arrival};

/// The number and the fingerprint of an entry.
///
/// The number alone does not identify an entry, because a server that has returned to an older
/// state can assign it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The number of the entry in the log.
    pub number: u64,
    /// A random number that is stored with the entry, or a hash of the entry's content and time.
    /// Not zero.
    pub fingerprint: u64,
}

impl Identity {
    /// Returns an identity for an entry that was not read: its fingerprint is zero.
    #[must_use]
    pub const fn unread(number: u64) -> Self {
        Self { number, fingerprint: 0 }
    }

    /// Returns whether the fingerprint is zero, as in an identity from [`unread`](Self::unread).
    #[must_use]
    pub const fn is_unread(self) -> bool {
        self.fingerprint == 0
    }
}

/// An entry that was read from a log.
pub trait LogEntry: Send + 'static {
    /// Returns the number of the entry. Numbers rise from entry to entry.
    fn number(&self) -> u64;

    /// Returns the identity of the entry. The follower calls this for every entry while it checks
    /// acknowledgements, and for some entries at other times.
    fn identity(&self) -> Identity;

    /// Returns the number of the entry written directly before this one, if known. If the last
    /// entry that the follower has read has a different number, entries were removed in between.
    /// The default is `None`.
    fn previous(&self) -> Option<u64> {
        None
    }
}

/// What an entry means.
#[derive(Debug)]
pub enum Content {
    /// An event.
    Event {
        /// The number of the event, its time and its age.
        arrival: Arrival,
        /// The topic of the event.
        topic: String,
        /// The event.
        event: Event,
    },
    /// A mark: events before it may have been lost. Each process reports the loss when it reads the
    /// mark.
    Mark,
    /// An entry that cannot be decoded, which is reported as a loss.
    Unreadable,
    /// An entry that has nothing to send to clients.
    Nothing,
}

/// Makes an event from the [fields](Event::fields) that a log has kept.
///
/// # Errors
///
/// Returns an error if the name contains a line break or U+0000.
pub fn event_of(
    data: impl Into<String>,
    name: Option<String>,
    retry_in_milliseconds: Option<u64>,
    comment: Option<String>,
) -> Result<Event, InvalidField> {
    let mut event = Event::new().data(data);
    if let Some(name) = name {
        event = event.try_event(name)?;
    }
    if let Some(retry) = retry_in_milliseconds {
        event = event.retry(Duration::from_millis(retry));
    }
    Ok(match comment {
        Some(comment) => event.comment(comment),
        None => event,
    })
}

/// What a process knows about the log.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Known {
    /// The number of the last entry that the process has read or skipped. If it has read none yet,
    /// this is the number of the entry that [`newest_before`](Log::newest_before) returned, or
    /// zero.
    pub last: u64,
    /// The highest number that the process has read in the log or in an acknowledgement.
    pub newest: u64,
    /// The number of the newest lost entry, unless the process knows of a mark after it.
    pub lost: Option<u64>,
}

/// Entries of a log in the order of their numbers.
#[derive(Debug)]
pub struct Page<E> {
    /// The entries.
    pub entries: Vec<E>,
    /// Whether there may be more entries after these.
    pub has_more: bool,
}

/// A log that a hub follows, such as a Redis stream or a table. It can be trimmed or lost, or
/// return to an older state.
///
/// The follower, which is the task that [`follow`](crate::follow) spawns, calls one method at a
/// time. Each method must limit how long it takes. Once the history is loaded, the follower waits
/// after an error, and opens another session.
pub trait Log: Send + Sized + 'static {
    /// The connections of a session.
    type Session: Send;
    /// What publishers get from the [gate](crate::Gate) in a session, such as a connection.
    type Publishing: Clone + Send + Sync;
    /// An entry.
    type Entry: LogEntry;
    /// The error from a failed request.
    type Error: error::Error + Clone + Send + Sync + 'static;

    /// The name of the server, for log lines.
    const SERVER: &'static str;
    /// How long the follower may take, after each [`wait`](Self::wait), to reach the end of the
    /// log, including waits in [`look`](Self::look). If it takes longer,
    /// [`Health::is_ready`](crate::Health::is_ready) returns `false` until the end is reached.
    const LATE: Duration = Duration::from_secs(1);
    /// Whether the follower calls [`skip`](Self::skip) for an entry that it cannot read in time.
    const SKIPS: bool = false;

    /// Connects. If the log is empty, adds a mark with a number above `known.newest`, because
    /// earlier entries may be lost. Clients that first connect after the mark receive no gap. The
    /// method may also mark other losses, for example if the log ends before `known.newest`.
    fn open(
        &mut self,
        known: Known,
    ) -> impl Future<Output = Result<Self::Session, Self::Error>> + Send;

    /// Returns the newest entry that is older than `age`. Entries that have no event may be
    /// ignored.
    fn newest_before(
        &mut self,
        session: &mut Self::Session,
        age: Duration,
    ) -> impl Future<Output = Result<Option<Identity>, Self::Error>> + Send;

    /// Reads up to `count` entries, starting with the first one whose number is `from` or higher. A
    /// shorter page that [has more](Page::has_more) must have at least two.
    fn read(
        &mut self,
        session: &mut Self::Session,
        from: u64,
        count: usize,
    ) -> impl Future<Output = Result<Page<Self::Entry>, Self::Error>> + Send;

    /// Returns whether the log has an entry with this number or a lower one.
    fn has_up_to(
        &mut self,
        session: &mut Self::Session,
        number: u64,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Returns `true` if the entries missing from the beginning of the log were certainly trimmed.
    /// If the log is empty, all its entries are missing. Returns `false` if an older state of the
    /// log, without these entries, may have replaced it. The default is `true`, which hides a loss
    /// only if an older state replaced the log and was then trimmed. If the older state was not
    /// trimmed, [`has_up_to`](Self::has_up_to) detects it.
    fn was_trimmed(
        &mut self,
        _session: &mut Self::Session,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send {
        ready(Ok(true))
    }

    /// Adds a mark for the loss of the entry `known.lost`, unless the log already has a mark after
    /// it. The mark's number must be above `known.newest`, `known.lost`, and all numbers in the
    /// log. Returns the mark's identity, if a mark was added and its identity is known.
    fn mark(
        &mut self,
        session: &mut Self::Session,
        known: Known,
    ) -> impl Future<Output = Result<Option<Identity>, Self::Error>> + Send;

    /// Returns what publishers use in this session. The follower calls this after it has caught up
    /// and marked all losses that it found.
    fn publishing(
        &mut self,
        session: &mut Self::Session,
        last: Identity,
    ) -> impl Future<Output = Result<Self::Publishing, Self::Error>> + Send;

    /// Waits until the log may have new entries, but at most a few seconds. After each wait, the
    /// follower calls [`upkeep`](Self::upkeep) and looks for losses.
    fn wait(
        &mut self,
        session: &mut Self::Session,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// If `last` is still in the log, returns the entries after it: the first `count`, or all if
    /// there are fewer. The default is `None`: the follower then calls [`read`](Self::read), which
    /// also shows whether `last` is still there.
    fn look(
        &mut self,
        _session: &mut Self::Session,
        _last: Identity,
        _count: usize,
    ) -> impl Future<Output = Result<Option<Vec<Self::Entry>>, Self::Error>> + Send {
        ready(Ok(None))
    }

    /// Trims the log if that is due, and does any other periodic work.
    fn upkeep(
        &mut self,
        _session: &mut Self::Session,
        _last: Identity,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        ready(Ok(()))
    }

    /// Returns the first entry whose number is `from` or higher, if any, without reading its
    /// content. If the identity of this entry is [unread](Identity::unread) and the entry is the
    /// newest in the log, the method adds another entry after it. The follower then reads what
    /// comes after the returned entry. Called only if [`SKIPS`](Self::SKIPS) is `true`, or if
    /// [`newest_before`](Self::newest_before) returns an unread identity.
    fn skip(
        &mut self,
        _session: &mut Self::Session,
        _from: u64,
    ) -> impl Future<Output = Result<Option<Identity>, Self::Error>> + Send {
        ready(Ok(None))
    }

    /// Decodes an entry. Called at most once for each entry.
    fn content(&mut self, entry: Self::Entry) -> Content;

    /// Returns whether `error` says that the server did not answer in time.
    fn is_timeout(error: &Self::Error) -> bool;

    /// Returns whether a [timeout](Self::is_timeout) can mean that the entries are too large for
    /// the link. After three such errors in a row, the follower skips an entry if
    /// [`SKIPS`](Self::SKIPS) is `true`. By default, every timeout counts. If you know that no byte
    /// has arrived, return `false`: in that case, it's the server that is slow and not the link.
    fn is_too_large(error: &Self::Error) -> bool {
        Self::is_timeout(error)
    }

    /// Creates an error that the follower itself reports. `reason` says why.
    fn broken(reason: &str) -> Self::Error;
}
