use std::sync::Arc;

use tower_sse::hub::broker::{
    Feed,
    support::{PageSize, whole_milliseconds},
};

use crate::{
    BrokerStats, Error,
    broker::{
        publisher::Gate,
        stream::{Identity, RedisStream, StreamId},
    },
    server::lineage::Lineage,
};

/// The number of timeouts in a row after which the reader skips an entry. All but the first are those
/// of a page with one entry.
pub(super) const MAX_TIMEOUTS: u32 = 3;

/// The reader of the stream. It feeds every entry to the hub, or reports that entries may be
/// missing.
///
/// `catch_up` reads from the last entry, inclusively. If that entry is still there, the stream is
/// the same one, and nothing after the entry was trimmed. [`RedisStream::wait_after`] checks the same.
pub(crate) struct Reader {
    pub(crate) feed: Feed,
    pub(crate) gate: Arc<Gate>,
    pub(crate) stats: BrokerStats,
    /// The last entry that was read, or the one before the history. `0-0` if there was none yet.
    pub(super) last: Identity,
    pub(crate) page_size: PageSize,
    /// The number of reads in a row that did not end in time.
    pub(super) timeouts: u32,
    /// Whether the history is loaded. Losses found before that are not counted.
    pub(super) is_loaded: bool,
    /// The lineage of the stream at the beginning of the last session, or before the losses that were
    /// marked last in it.
    pub(super) lineage: Option<Arc<Lineage>>,
    /// The last millisecond for which this reader has sent a skip, because an entry's counter was
    /// high.
    pub(super) skipped_millisecond: u64,
    /// The server for which the ids were advanced last, because they were ahead of its clock.
    pub(super) advanced_server: String,
}

impl Reader {
    pub(crate) fn new(feed: Feed, gate: Arc<Gate>, stats: BrokerStats) -> Self {
        Self {
            feed,
            gate,
            stats,
            last: Identity::default(),
            page_size: PageSize::default(),
            timeouts: 0,
            is_loaded: false,
            lineage: None,
            skipped_millisecond: 0,
            advanced_server: String::new(),
        }
    }

    /// Creates the stream if it is empty, and finds the last entry before the history. The next step
    /// is [`catch_up`](Self::catch_up).
    async fn find_history(&mut self, stream: &mut RedisStream) -> Result<(), Error> {
        // Create the stream now: if the first event created it, a new stream could not be
        // distinguished from a lost one.
        stream.mark(None, StreamId::ZERO).await?;
        let max_age = whole_milliseconds(self.feed.max_age());
        let start = stream.clock.now().saturating_sub(max_age);
        let end = start.saturating_sub(1).to_string();
        let before = if self.timeouts == 0 {
            stream.newest_up_to(&end).await?
        } else {
            stream.newest_id_up_to(&end).await?.map(Identity::unread)
        };
        let Some(before) = before else { return Ok(()) };
        // A client that resumes before the history receives a gap.
        self.report_loss(before.id.sequence());
        self.last = before;
        if before.is_unread() { self.begin_after_unread(before.id, stream).await } else { Ok(()) }
    }

    /// Finds and reads the history, or goes on with it after a timeout.
    pub(crate) async fn load(&mut self, stream: &mut RedisStream) -> Result<(), Error> {
        if self.last.id == StreamId::ZERO {
            let found = self.find_history(stream).await;
            self.timeouts += u32::from(found.as_ref().is_err_and(Error::is_timeout));
            found?;
        }
        self.catch_up(stream).await
    }

    /// Returns whether a later attempt to load the history can succeed: it reads less at a time, or
    /// skips an entry.
    pub(crate) fn can_try_again(&self, error: &Error) -> bool {
        error.is_timeout() && self.timeouts <= MAX_TIMEOUTS + 1
    }

    /// Reports that events with sequence numbers up to this one may have been lost.
    pub(super) fn report_loss(&mut self, sequence: u64) {
        if self.feed.report_loss(sequence) == Ok(true) && self.is_loaded {
            self.stats.count_loss();
        }
    }
}
