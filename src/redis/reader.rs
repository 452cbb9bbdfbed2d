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
    /// The last entry that was read, or the one before the history. `0-0` if there was none yet.
    last: StreamId,
    /// Whether the history is loaded. What was lost before it is no news.
    is_loaded: bool,
    /// The newest marker of the stream that was read.
    newest_marker: StreamId,
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
            newest_marker: StreamId::ZERO,
            unmet: None,
            skipped: 0,
        }
    }

    /// Loads the events that are not older than the hub keeps them.
    pub(super) async fn load_history(&mut self, stream: &mut Stream) -> Result<(), Stop> {
        // A stream that is created by its first event could not be told from one that was lost.
        stream.mark(StreamId::ZERO, StreamId::ZERO).await?;
        let max_age = u64::try_from(self.feed.max_age().as_millis()).unwrap_or(u64::MAX);
        let start = self.clock.now().saturating_sub(max_age);
        match stream.newest_before(start).await? {
            Some(before) => {
                self.last = before;
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
        // Whether the last entry is missing, and every client will learn of it: until an entry after
        // it was read, as the marker can be lost as well.
        let mut is_lost = false;
        loop {
            let is_inclusive =
                self.last > StreamId::ZERO && !is_lost && !mutant::reads_exclusively();
            let from =
                if is_inclusive { RangeStart::At(self.last) } else { RangeStart::After(self.last) };
            let mut page = stream.range(from, None, PAGE + 1).await?;
            let is_full = page.len() > PAGE;
            if is_inclusive {
                if page.first().is_none_or(|first| first.id != self.last) {
                    self.find_loss(stream, page.first()).await?;
                    is_lost = true;
                    continue;
                }
                page.remove(0);
            }
            let has_nothing_after_loss = is_lost && page.is_empty();
            is_lost = false;
            self.read(stream, page).await?;
            if is_full || has_nothing_after_loss {
                continue;
            }
            let Some(known) = self.unmet else { return Ok(()) };
            // It is gone, as every process that reads on has to learn.
            stream.mark(known, known).await?;
            self.unmet = None;
        }
    }

    /// Finds out why the last entry is missing. `first` is the first entry after it.
    async fn find_loss(
        &mut self,
        stream: &mut Stream,
        first: Option<&RawEntry>,
    ) -> Result<(), Stop> {
        // Markers that were read before may be missing too, and then other processes do not know
        // them.
        self.newest_marker = StreamId::ZERO;
        let older = stream.range(RangeStart::First, Some(self.last), 1).await?;
        if mutant::writes_no_marker() {
            self.report_loss(StreamId { counter: self.last.counter + 1, ..self.last })?;
            stream.skip_after(self.last).await;
        } else if let Some(first) = first
            && older.is_empty()
        {
            // Only this process was away for longer than the stream keeps entries.
            self.report_loss_before(first)?;
            self.unmet = self.unmet.filter(|unmet| *unmet > first.id);
        } else {
            // Both are lost, and one marker reports it.
            stream.mark(self.last, self.unmet.unwrap_or(self.last)).await?;
        }
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
            Entry::Gap { known } => self.read_marker(id, known)?,
            Entry::Skip => {}
            Entry::Foreign => self.health.count_foreign_entry(),
        }
        Ok(())
    }

    /// Reports the loss that a marker stands for, unless an earlier marker has.
    ///
    /// Several processes mark the same loss. The writer of a marker who knew no entry after the one
    /// before has lost nothing else. Only markers count, which all processes read, and not where
    /// this one happened to begin: a client may come from a process that began elsewhere.
    fn read_marker(&mut self, id: StreamId, known: StreamId) -> Result<(), Stop> {
        let is_news = known == StreamId::ZERO || known >= self.newest_marker;
        if is_news {
            self.newest_marker = id;
            self.report_loss(id)?;
        }
        Ok(())
    }

    /// Reports that events may have been lost between the last entry and `first`.
    fn report_loss_before(&mut self, first: &RawEntry) -> Result<(), Stop> {
        // A marker reports it itself, in all processes at the same position.
        let is_marker = matches!(Entry::decode(first.fields.clone()), Entry::Gap { .. });
        let up_to = first.id.before();
        if is_marker || up_to <= self.last { Ok(()) } else { self.report_loss(up_to) }
    }

    fn report_loss(&mut self, up_to: StreamId) -> Result<(), Stop> {
        if self.feed.report_loss(up_to.sequence())? && self.is_loaded {
            self.health.count_gap();
        }
        Ok(())
    }

    pub(super) const fn last(&self) -> StreamId {
        self.last
    }
}
