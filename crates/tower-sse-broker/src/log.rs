use std::{future::ready, time::Duration};

use tower_sse::{Event, event::InvalidField, hub::broker::Arrival};

use crate::{Error, ErrorKind};

/// The number and the fingerprint of an entry. The number alone isn't enough: a server that has
/// returned to an older state can assign it to another entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The number in the log.
    pub number: u64,
    /// A random number stored with the entry, or a hash of its content. Zero only for an
    /// [unread](Self::unread) entry.
    pub fingerprint: u64,
}

impl Identity {
    /// Returns an identity with a fingerprint of zero, for an entry that wasn't read.
    #[must_use]
    pub const fn unread(number: u64) -> Self {
        Self { number, fingerprint: 0 }
    }

    /// Returns whether the fingerprint is zero.
    #[must_use]
    pub const fn is_unread(self) -> bool {
        self.fingerprint == 0
    }
}

/// An entry that the follower (the task of [`follow`](crate::__private::follow)) reads from a log.
pub trait LogEntry: Send + 'static {
    /// Returns the entry's number. Numbers rise from one entry to the next. Implement this method
    /// only if it's cheaper than [`identity`](Self::identity).
    fn number(&self) -> u64 {
        self.identity().number
    }

    /// Returns the entry's identity. The follower can call this for every entry, so make it cheap.
    fn identity(&self) -> Identity;

    /// Returns the number of the entry written directly before this one, if known. The follower
    /// compares this number with that of the entry that it read before this one. If they differ,
    /// entries have been removed. The default is `None`.
    fn previous(&self) -> Option<u64> {
        None
    }

    /// Returns the entry's approximate size in bytes. Keep the default of 0 if [`Log::read`] limits
    /// the bytes of a page itself. With sizes, pages have up to about 4 MiB. If large entries
    /// follow small ones, their first page can exceed this: it can have 64 entries, or four times
    /// the entries of the previous page if that's more, but at most 1,000.
    fn bytes(&self) -> usize {
        0
    }
}

/// The meaning of an entry.
#[derive(Debug)]
pub enum Content {
    /// An event.
    Event {
        /// The event's number, time and age.
        arrival: Arrival,
        /// The topic.
        topic: String,
        /// The event.
        event: Event,
    },
    /// A mark: events before it may have been lost. Each process reports this loss.
    Mark,
    /// An entry that can't be decoded. It's reported as a loss.
    Unreadable,
    /// An entry with nothing for clients.
    Nothing,
}

/// Creates an event from the [fields](Event::fields) that are stored in a log.
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
    /// The number of the last entry that the process has read or skipped. Before the first one,
    /// it's the number of the entry from [`newest_before`](Log::newest_before), or zero if there is
    /// none.
    pub last: u64,
    /// The highest number that the process has seen in the log or in an acknowledgement.
    pub newest: u64,
    /// The number of the newest lost entry. `None` if no entry is lost, or if the process knows of
    /// a mark after the lost entries.
    pub lost: Option<u64>,
}

/// Entries of a log, ordered by number.
#[derive(Debug)]
pub struct Page<E> {
    /// The entries.
    pub entries: Vec<E>,
    /// Whether there may be more entries after these.
    pub has_more: bool,
}

/// A log that a hub follows, such as a Redis stream or a table.
///
/// The follower (the task of [`follow`](crate::__private::follow)) calls one method at a time. It
/// can drop a method's future early, for example when the hub is closed. Give each method a time
/// limit. After an error, the follower waits and opens another session. While the history loads, it
/// doesn't wait: after a timeout, it opens another session at once, up to four times without
/// progress. On any other error, and on every error of [`open`](Self::open), loading fails:
/// [`follow`](crate::__private::follow) returns the error.
pub trait Log: Send + Sized + 'static {
    /// The connections that [`open`](Self::open) makes.
    type Session: Send;
    /// What publishers get from the [gate](crate::__private::Gate), such as a connection.
    type Publishing: Clone + Send + Sync;
    /// An entry.
    type Entry: LogEntry;

    /// The server's name, for log lines.
    const SERVER: &'static str;
    /// How long the follower may take to reach the end of the log after a [`wait`](Self::wait),
    /// before [`Health::is_ready`](crate::Health::is_ready) returns `false`. Waits in
    /// [`look`](Self::look) count too.
    const LATE: Duration = Duration::from_secs(1);
    /// Whether the follower may [`skip`](Self::skip) an entry that takes too long to read.
    const SKIPS: bool = false;

    /// Connects. If the log is empty, adds a mark with a number above `known.newest`, because
    /// entries may have been lost. You can mark other losses here too.
    fn open(&mut self, known: Known) -> impl Future<Output = Result<Self::Session, Error>> + Send;

    /// Returns the identity of the newest entry older than `age`. You may ignore entries without an
    /// event.
    fn newest_before(
        &mut self,
        session: &mut Self::Session,
        age: Duration,
    ) -> impl Future<Output = Result<Option<Identity>, Error>> + Send;

    /// Reads up to `count` entries, starting with the first one whose number is `from` or higher.
    /// If there may be [more](Page::has_more), return at least two entries, or one if `count` is 1.
    fn read(
        &mut self,
        session: &mut Self::Session,
        from: u64,
        count: usize,
    ) -> impl Future<Output = Result<Page<Self::Entry>, Error>> + Send;

    /// Returns whether the log has an entry with this number or a lower one.
    fn has_up_to(
        &mut self,
        session: &mut Self::Session,
        number: u64,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Returns `true` if the entries missing from the beginning of the log are known to have been
    /// trimmed. In an empty log, all entries are missing. Returns `false` if the log may have been
    /// replaced by an older state.
    ///
    /// With the default, `true`, a loss can go unnoticed if an older state replaced the log and was
    /// then trimmed.
    fn was_trimmed(
        &mut self,
        _session: &mut Self::Session,
    ) -> impl Future<Output = Result<bool, Error>> + Send {
        ready(Ok(true))
    }

    /// Marks the loss of the entry `known.lost`, unless the log already has a mark after it. The
    /// mark's number must be above `known.newest` and all numbers in the log. Returns the identity
    /// of the added mark, if known. If you return `None` and the follower then finds no new entry,
    /// not even a mark, the session fails.
    fn mark(
        &mut self,
        session: &mut Self::Session,
        known: Known,
    ) -> impl Future<Output = Result<Option<Identity>, Error>> + Send;

    /// Returns what publishers use during this session, for example a connection. The follower
    /// calls this once it has caught up and marked the losses that it found.
    fn publishing(
        &mut self,
        session: &mut Self::Session,
        last: Identity,
    ) -> impl Future<Output = Result<Self::Publishing, Error>> + Send;

    /// Waits until the log may have new entries, but at most a few seconds. The follower then calls
    /// [`upkeep`](Self::upkeep) and looks for new entries and losses.
    fn wait(
        &mut self,
        session: &mut Self::Session,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// If `last` is still in the log, returns the entries after it: the first `count`, or all if
    /// there are fewer. If this returns `None`, as it does by default, the follower calls
    /// [`read`](Self::read).
    fn look(
        &mut self,
        _session: &mut Self::Session,
        _last: Identity,
        _count: usize,
    ) -> impl Future<Output = Result<Option<Vec<Self::Entry>>, Error>> + Send {
        ready(Ok(None))
    }

    /// Trims the log if that's due, and does any other periodic work.
    fn upkeep(
        &mut self,
        _session: &mut Self::Session,
        _last: Identity,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        ready(Ok(()))
    }

    /// Returns the identity of the first entry whose number is `from` or higher, without reading
    /// its content. The follower continues after it. If you return an [unread](Identity::unread)
    /// identity for the newest entry, also append another entry to the log. The follower can later
    /// use the appended entry to check that the log is still the same.
    ///
    /// Called only if [`SKIPS`](Self::SKIPS) is `true`, or if
    /// [`newest_before`](Self::newest_before) returns an unread identity.
    fn skip(
        &mut self,
        _session: &mut Self::Session,
        _from: u64,
    ) -> impl Future<Output = Result<Option<Identity>, Error>> + Send {
        ready(Ok(None))
    }

    /// Decodes an entry.
    fn content(&mut self, entry: Self::Entry) -> Content;

    /// Returns whether the error means that the server didn't answer in time. The default is
    /// `false`, for logs without a server.
    #[must_use]
    fn is_timeout(_error: &Error) -> bool {
        false
    }

    /// Returns whether a [timeout](Self::is_timeout) can mean that entries are too large for the
    /// link. After three such timeouts in a row, not counting those of [`look`](Self::look), the
    /// follower skips an entry if [`SKIPS`](Self::SKIPS) is `true`. After a skip, one more such
    /// timeout is enough to skip the next entry. By default, every timeout counts. Return `false`
    /// if no byte has arrived: that means a slow server, not a slow link.
    #[must_use]
    fn is_too_large(error: &Error) -> bool {
        Self::is_timeout(error)
    }

    /// Creates an error for a problem that the follower itself has found.
    #[must_use]
    fn broken(reason: &str) -> Error {
        let action = format!("follow the log in {}", Self::SERVER);
        Error::new(action, ErrorKind::Unreachable, reason)
    }
}
