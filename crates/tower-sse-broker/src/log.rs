use std::{error, future::ready, time::Duration};

use tower_sse::{Event, event::InvalidField, hub::broker::Arrival};

/// The number and the fingerprint of an entry.
///
/// The number alone does not identify an entry: a server that has returned to an older state can
/// assign the same number again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The number of the entry in the log.
    pub number: u64,
    /// A hash of the entry's content, or a random number that is stored with the entry. Not zero.
    pub fingerprint: u64,
}

impl Identity {
    /// Returns an identity with this number and the fingerprint zero, for an entry that was not
    /// read. The fingerprint of an entry that was read is not zero.
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

    /// Returns the identity of the entry. The follower calls this method for all entries while it
    /// checks acknowledgements, and for some entries at other times.
    fn identity(&self) -> Identity;

    /// Returns the number of the entry that was written directly before this one, if the log knows
    /// that number. The follower compares this number with the last number that it has read. If the
    /// two differ, entries before this one were removed. The default is `None`.
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
    /// A mark: events before it may be lost. Each process reports the loss when it reads the mark.
    Mark,
    /// An entry that cannot be decoded. It is reported as a loss.
    Unreadable,
    /// An entry that has nothing for clients.
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

/// What a process knows of the log.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Known {
    /// The number of the last entry that the process has read or skipped, or of the one before the
    /// hub's history. Zero if there is none.
    pub last: u64,
    /// The highest number that the process has read in the log or in an acknowledgement.
    pub newest: u64,
    /// The number of the newest lost entry. `None` if no entry is lost, or if the process knows of
    /// a mark after the lost entry.
    pub lost: Option<u64>,
}

/// Entries of a log in the order of their numbers.
#[derive(Debug)]
pub struct Page<E> {
    /// The entries.
    pub entries: Vec<E>,
    /// Whether the log can have more entries after these.
    pub has_more: bool,
}

/// A log on a server. It can be trimmed or lost, or return to an older state.
///
/// The follower, which is the task of [`follow`](crate::follow), calls one of these methods at a
/// time. An error of any method ends the session. After a delay, the follower opens the next
/// session. Each method must limit how long it takes.
pub trait Log: Send + Sized + 'static {
    /// The connections of a session.
    type Session: Send;
    /// What publishers need in a session, such as a connection. They get it from the
    /// [gate](crate::Gate).
    type Publishing: Clone + Send + Sync;
    /// An entry.
    type Entry: LogEntry;
    /// The error of a request.
    type Error: error::Error + Clone + Send + Sync + 'static;

    /// The name of the server, for log lines.
    const SERVER: &'static str;
    /// How long the follower may take, after each [`wait`](Self::wait), to read up to the end of
    /// the log. If it takes longer, [`Health::is_ready`](crate::Health::is_ready) returns `false`
    /// until the end is reached. Time spent waiting in [`look`](Self::look) counts too.
    const LATE: Duration = Duration::from_secs(1);
    /// Whether the follower calls [`skip`](Self::skip) for an entry that it cannot read in time.
    const SKIPS: bool = false;

    /// Connects. If the log has no entries, adds a mark with a number above `known.newest`, because
    /// earlier entries may be lost. A client that first connects after the mark was added receives
    /// no gap for it. The method may also mark other losses, for example if the log ends before
    /// `known.newest`.
    fn open(
        &mut self,
        known: Known,
    ) -> impl Future<Output = Result<Self::Session, Self::Error>> + Send;

    /// Returns the newest entry that is older than `age`.
    fn newest_before(
        &mut self,
        session: &mut Self::Session,
        age: Duration,
    ) -> impl Future<Output = Result<Option<Identity>, Self::Error>> + Send;

    /// Reads at most `count` entries: the first ones whose number is `from` or higher.
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

    /// Returns `true` if the entries that are missing at the beginning of the log, or all of its
    /// entries, were certainly trimmed. Returns `false` if an older state without these entries may
    /// have replaced the log. The default is `true`, which is wrong only if an older state replaced
    /// the log and was then trimmed. If the older state was not trimmed,
    /// [`has_up_to`](Self::has_up_to) detects it.
    fn was_trimmed(
        &mut self,
        _session: &mut Self::Session,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send {
        ready(Ok(true))
    }

    /// Adds a mark for the loss of the entry `known.lost`, unless the log already has a mark after
    /// this entry. The number of the mark is above `known.newest`, `known.lost`, and all numbers in
    /// the log. Returns the identity of the mark, if a mark was added and its identity is known.
    fn mark(
        &mut self,
        session: &mut Self::Session,
        known: Known,
    ) -> impl Future<Output = Result<Option<Identity>, Self::Error>> + Send;

    /// Returns what publishers use in this session. The follower calls this method when it has
    /// caught up and has marked all losses that it has found.
    fn publishing(
        &mut self,
        session: &mut Self::Session,
        last: Identity,
    ) -> impl Future<Output = Result<Self::Publishing, Self::Error>> + Send;

    /// Waits until the log may have new entries, or until [`upkeep`](Self::upkeep) may be due: the
    /// follower calls it only after this wait.
    fn wait(
        &mut self,
        session: &mut Self::Session,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Returns up to `count` entries after `last`. If it returns `None`, the follower calls
    /// [`read`](Self::read) instead, starting at `last`. That call also shows whether `last` is
    /// still in the log. The default is `None`.
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

    /// Returns the first entry whose number is `from` or higher, or `None` if there is no such
    /// entry. Does not read its content. If the identity is [unread](Identity::unread), and the
    /// entry is the newest in the log, adds another one after it, which the follower can read and
    /// continue from. Only called if [`SKIPS`](Self::SKIPS) is `true`.
    fn skip(
        &mut self,
        _session: &mut Self::Session,
        _from: u64,
    ) -> impl Future<Output = Result<Option<Identity>, Self::Error>> + Send {
        ready(Ok(None))
    }

    /// Decodes an entry. The follower calls this method once for each entry.
    fn content(&mut self, entry: Self::Entry) -> Content;

    /// Returns whether `error` says that the server did not answer in time.
    fn is_timeout(error: &Self::Error) -> bool;

    /// Returns whether `error` says that the entries that were read may be too large for the link.
    /// The follower skips an entry after three such errors in a row. The default is
    /// [`is_timeout`](Self::is_timeout). Return `false` if you know that no byte has arrived:
    /// then the server is late, and not the entry.
    fn is_too_large(error: &Self::Error) -> bool {
        Self::is_timeout(error)
    }

    /// Creates an error that the follower itself reports. `reason` says why.
    fn broken(reason: &str) -> Self::Error;
}
