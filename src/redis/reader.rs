use std::sync::Arc;

use tokio::task::yield_now;

use super::{
    Error,
    clock::Clock,
    entry::{Entry, RawEntry},
    gate::Gate,
    health::RedisHealth,
    mutant,
    stream::{PAGE, RangeStart, Stream},
    stream_id::StreamId,
};
use crate::hub::{Closed, Feed};

/// How many entries are fed before other tasks may run, which takes some 0.3 ms.
const ENTRIES_PER_POLL: usize = 100;

/// Reads the stream into the hub without a hole, or reports one.
///
/// It reads from the last entry on, inclusively: that this entry is the first of the answer proves
/// that the stream is the one it has read before, and that nothing after the entry was trimmed.
pub(super) struct Reader {
    pub(super) feed: Feed,
    pub(super) gate: Arc<Gate>,
    pub(super) clock: Arc<Clock>,
    pub(super) health: RedisHealth,
    /// The last entry that was read, or the position where the history begins.
    last: StreamId,
    /// Whether the history is loaded. What was lost before it is no news.
    is_loaded: bool,
    /// Whether the stream has had the entry `last`, so that its absence is a loss.
    is_anchored: bool,
    /// The newest position up to which events may have been lost.
    newest_loss: StreamId,
    /// An entry that is known to have been in the stream, and was not read yet.
    unmet: Option<StreamId>,
    /// The millisecond whose counter was high, after which an entry was added to skip the rest.
    skipped: u64,
}

/// The reason why reading stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The hub is gone.
    Closed,
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Closed> for Stop {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl Reader {
    pub(super) fn new(feed: Feed, gate: Arc<Gate>, clock: Arc<Clock>, health: RedisHealth) -> Self {
        Self {
            feed,
            gate,
            clock,
            health,
            last: StreamId::ZERO,
            is_loaded: false,
            is_anchored: false,
            newest_loss: StreamId::ZERO,
            unmet: None,
            skipped: 0,
        }
    }

    /// Loads the events that are not older than the hub keeps them.
    pub(super) async fn load_history(&mut self, stream: &mut Stream) -> Result<(), Stop> {
        // A stream that is created by its first event could not be told from one that was lost.
        stream.mark(StreamId::ZERO).await?;
        let max_age = u64::try_from(self.feed.max_age().as_millis()).unwrap_or(u64::MAX);
        let start = self.clock.now().saturating_sub(max_age);
        match stream.newest_before(start).await? {
            Some(before) => {
                self.last = before;
                self.is_anchored = true;
                self.report_loss(before)?;
            }
            None => {
                let first = stream.range(RangeStart::First, None, 1).await?;
                if let Some(first) = first.first() {
                    self.report_loss_before(first)?;
                }
            }
        }
        self.catch_up(stream).await?;
        self.is_loaded = true;
        Ok(())
    }

    /// Prepares to read over a new connection. `known` is an entry that the stream has had.
    pub(super) fn resume(&mut self, known: StreamId) {
        if known > self.last && !mutant::ignores_acknowledgements() {
            self.unmet = Some(known);
        }
    }

    /// Reads until the end of the stream.
    pub(super) async fn catch_up(&mut self, stream: &mut Stream) -> Result<(), Stop> {
        loop {
            let is_anchored = self.is_anchored && !mutant::reads_exclusively();
            let from =
                if is_anchored { RangeStart::At(self.last) } else { RangeStart::After(self.last) };
            let mut page = stream.range(from, None, PAGE + 1).await?;
            let is_full = page.len() > PAGE;
            if is_anchored {
                if page.first().is_none_or(|first| first.id != self.last) {
                    self.find_loss(stream, page.first()).await?;
                    continue;
                }
                page.remove(0);
            }
            self.read(stream, page).await?;
            if is_full {
                continue;
            }
            let Some(known) = self.unmet else { return Ok(()) };
            // It is gone, as every process that reads on has to learn.
            stream.mark(known).await?;
            self.unmet = None;
        }
    }

    /// Finds out why the last entry is missing. `first` is the first entry after it.
    async fn find_loss(
        &mut self,
        stream: &mut Stream,
        first: Option<&RawEntry>,
    ) -> Result<(), Stop> {
        let older = stream.range(RangeStart::First, Some(self.last), 1).await?;
        let is_trimmed = older.is_empty() && first.is_some();
        if let Some(first) = first
            && (is_trimmed || mutant::writes_no_marker())
        {
            // Only this process was away for longer than the stream keeps entries.
            self.report_loss_before(first)?;
        } else {
            stream.mark(self.last).await?;
        }
        self.is_anchored = false;
        Ok(())
    }

    /// Feeds entries to the hub.
    pub(super) async fn read(
        &mut self,
        stream: &mut Stream,
        entries: Vec<RawEntry>,
    ) -> Result<(), Stop> {
        let mut entries_in_poll = 0;
        for entry in entries {
            let id = entry.id;
            self.read_entry(entry)?;
            self.last = id;
            self.is_anchored = true;
            if self.unmet == Some(id) {
                self.unmet = None;
            }
            if id.has_high_counter() && self.skipped < id.milliseconds {
                self.skipped = id.milliseconds;
                stream.skip_after(id).await;
            }
            entries_in_poll += 1;
            if entries_in_poll == ENTRIES_PER_POLL {
                entries_in_poll = 0;
                self.gate.set_read(self.last);
                yield_now().await;
            }
        }
        self.gate.set_read(self.last);
        Ok(())
    }

    fn read_entry(&mut self, RawEntry { id, fields }: RawEntry) -> Result<(), Stop> {
        match Entry::decode(fields) {
            Entry::Event { topic, event } => {
                let age = self.clock.age_of(id.milliseconds);
                self.feed.event(id.sequence(), &topic, &event, age)?;
            }
            Entry::Gap { known } if self.is_news(known) => self.report_loss(id)?,
            Entry::Gap { .. } | Entry::Skip => {}
            Entry::Foreign => self.health.count_foreign_entry(),
        }
        Ok(())
    }

    /// Reports that events may have been lost between the last entry and `first`.
    fn report_loss_before(&mut self, first: &RawEntry) -> Result<(), Stop> {
        let up_to = first.id.before();
        let is_reported = match Entry::decode(first.fields.clone()) {
            // The marker reports it.
            Entry::Gap { known } => self.is_news(known),
            _ => up_to <= self.last,
        };
        if is_reported { Ok(()) } else { self.report_loss(up_to) }
    }

    /// Returns whether a marker reports a new loss. Several processes mark the same one: a marker
    /// whose writer knew no entry after the newest loss has nothing to add.
    fn is_news(&self, known: StreamId) -> bool {
        known == StreamId::ZERO || known >= self.newest_loss
    }

    fn report_loss(&mut self, up_to: StreamId) -> Result<(), Stop> {
        self.newest_loss = self.newest_loss.max(up_to);
        if self.feed.report_loss(up_to.sequence())? && self.is_loaded {
            self.health.count_gap();
        }
        Ok(())
    }

    pub(super) const fn last(&self) -> StreamId {
        self.last
    }
}
