use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tower_sse::hub::broker::{
    Feed,
    support::{Identity, PageSize},
};

use crate::{
    BrokerStats, Error,
    connection::{Connection, Kind, LogRow, Settings},
    publisher::{Gate, Situation},
};

/// The octets of data at which a page is full. The client library reads a response without waiting
/// for the reader.
const PAGE_BYTES: usize = 4 << 20;

/// The reader of the log. It feeds every event to the hub, or reports that some may be missing.
///
/// It reads from the last row on, inclusively. If that row is still there, the log is the same one,
/// and rows that are missing after it were deleted.
pub(crate) struct Reader {
    pub(crate) feed: Feed,
    pub(crate) gate: Arc<Gate>,
    pub(crate) stats: BrokerStats,
    pub(crate) settings: Arc<Settings>,
    /// The last row that was read, or the one before the history. Its number is zero if there was
    /// none yet.
    pub(super) last: Identity,
    pub(super) page_size: PageSize,
    /// Whether the history is loaded. Losses found before that are not counted.
    pub(super) is_loaded: bool,
    /// The number of rows that were read.
    pub(super) rows: u64,
}

/// The place in the log before a page.
#[derive(Clone, Copy)]
pub(super) enum Before {
    /// The number of the last row, which is still there.
    Row(u64),
    /// Rows that were in the log, and have been trimmed.
    Trimmed,
    /// Another log, whose losses are marked.
    Unknown,
}

impl Reader {
    pub(crate) fn new(
        feed: Feed,
        gate: Arc<Gate>,
        stats: BrokerStats,
        settings: Arc<Settings>,
    ) -> Self {
        let (last, page_size) = (Identity::default(), PageSize::default());
        Self { feed, gate, stats, settings, last, page_size, is_loaded: false, rows: 0 }
    }

    /// Finds the last row before the history. The next step is [`catch_up`](Self::catch_up).
    pub(super) async fn find_history(&mut self, connection: &Connection) -> Result<(), Error> {
        /// As much as a log can have: numbers are microseconds since 1970.
        const MAX_AGE: Duration = Duration::from_secs(1_000_000_000);
        if let Some(before) = connection.before(self.feed.max_age().min(MAX_AGE)).await? {
            // A client that resumes before the history receives a gap.
            self.last = before;
            self.report_loss(before.number);
        }
        Ok(())
    }

    /// Reads to the end of the log, and finds losses. The next step is
    /// [`mark_losses`](Self::mark_losses).
    pub(super) async fn catch_up(&mut self, connection: &Connection) -> Result<(), Error> {
        loop {
            let is_inclusive = self.last.number > 0;
            let count = self.page_size.entries() + usize::from(is_inclusive);
            let read = self.gate.ledger().begin_read();
            let asked = Instant::now();
            let mut page = connection.read(self.last.number, count, PAGE_BYTES).await?;
            let bytes: usize = page.iter().map(|row| row.bytes).sum();
            let is_full = page.len() == count || bytes >= PAGE_BYTES;
            self.page_size
                .adapt(page.len().saturating_sub(usize::from(is_inclusive)), asked.elapsed());
            let before = self.find_place(connection, page.first()).await?;
            page.retain(|row| row.number() > self.last.number);
            self.feed_rows(before, page).await;
            if !is_full {
                self.gate.ledger().finish_read(read);
                return Ok(());
            }
        }
    }

    /// Returns what is before a page that begins with this row.
    async fn find_place(
        &mut self,
        connection: &Connection,
        first: Option<&LogRow>,
    ) -> Result<Before, Error> {
        if self.last.number == 0 {
            return Ok(Before::Trimmed);
        }
        if first.is_some_and(|first| first.identity == self.last) {
            return Ok(Before::Row(self.last.number));
        }
        // Hubs trim rows from the beginning, and never the newest row. This is therefore an older
        // state of the log if it has earlier rows than the last one that was read, has no later
        // row, or has another row with the same number.
        let oldest = connection.read(0, 1, PAGE_BYTES).await?;
        let is_trimmed = first.is_some_and(|first| first.number() > self.last.number)
            && oldest.first().is_some_and(|oldest| oldest.number() > self.last.number);
        if is_trimmed {
            return Ok(Before::Trimmed);
        }
        self.gate.ledger().lose(self.last.number);
        Ok(Before::Unknown)
    }

    /// Marks the losses that no row marks, so that every process reports them.
    pub(super) async fn mark_losses(
        &mut self,
        reading: &Connection,
        publishing: &Connection,
    ) -> Result<(), Error> {
        // The mark can be lost as well.
        while self.has_lost() {
            publishing.append(0, self.situation(false), &[]).await?;
            self.catch_up(reading).await?;
        }
        Ok(())
    }

    /// Returns what this process knows of the log, over a connection that may be new.
    pub(super) fn situation(&self, is_new: bool) -> Situation {
        let ledger = self.gate.ledger();
        Situation { known: ledger.newest_known, lost: ledger.lost(), is_new }
    }

    /// Returns whether a row is lost that no mark follows.
    pub(super) fn has_lost(&self) -> bool {
        self.gate.ledger().has_lost()
    }

    /// Returns the time since `at`, by the server's clock.
    pub(super) fn age_of(&self, at: SystemTime) -> Duration {
        self.settings.clock.age_of(at)
    }

    /// Reports that events up to this number may have been lost.
    pub(super) fn report_loss(&mut self, number: u64) {
        if self.feed.report_loss(number) == Ok(true) && self.is_loaded {
            self.stats.count_loss();
        }
    }
}

impl Before {
    /// Returns whether no row is missing between this place and a row.
    pub(super) fn explains(self, row: &LogRow) -> bool {
        match (self, &row.kind) {
            // The mark is reported at the same place in all processes.
            (_, Kind::Loss) | (Self::Unknown, _) => true,
            (Self::Row(before), Kind::Leap(from)) if *from == Some(before) => true,
            (Self::Row(before), _) => row.number() == before + 1,
            (Self::Trimmed, _) => false,
        }
    }
}
