use std::{sync::Arc, time::Duration};

use tokio::{task::yield_now, time::Instant};

use super::{
    Error,
    clock::Clock,
    entry::{Entry, RawEntry},
    gate::Gate,
    health::RedisHealth,
    identity::Identity,
    last_entry::LastEntry,
    marker::MarkIf,
    mutant,
    page_size::PageSize,
    stop::Stop,
    stream::{RangeStart, Stream},
    stream_id::StreamId,
};
use crate::hub::{Arrival, Feed};

/// The number of entries that are fed before the reader yields to other tasks. Reading them takes
/// 0.2 to 0.8 ms, depending on the number of topics (`benches/redis.sh`).
const ENTRIES_PER_POLL: usize = 100;

/// The reader of the stream. It feeds every entry to the hub, or reports that entries may be
/// missing.
///
/// `catch_up` reads from the last entry, inclusively. If that entry is still there, the stream is
/// the same one, and nothing after the entry was trimmed. [`Stream::wait_after`] checks the same.
pub(super) struct Reader {
    pub(super) feed: Feed,
    pub(super) gate: Arc<Gate>,
    pub(super) clock: Arc<Clock>,
    pub(super) health: RedisHealth,
    /// The last entry that was read, or the one before the history. `0-0` if there was none yet.
    last: LastEntry,
    pub(super) page_size: PageSize,
    /// Whether the history is loaded. Losses found before that are not counted.
    is_loaded: bool,
    /// The newest marker that was read and that the stream still has.
    newest_marker: StreamId,
    /// The last millisecond that a skip advanced the ids past, because its counter was high.
    skipped_millisecond: u64,
    /// The server for which the ids were advanced last, because they were ahead of its clock.
    advanced_server: String,
}

impl Reader {
    pub(super) fn new(feed: Feed, gate: Arc<Gate>, clock: Arc<Clock>, health: RedisHealth) -> Self {
        Self {
            feed,
            gate,
            clock,
            health,
            last: LastEntry::with_id(StreamId::ZERO),
            page_size: PageSize::new(),
            is_loaded: false,
            newest_marker: StreamId::ZERO,
            skipped_millisecond: 0,
            advanced_server: String::new(),
        }
    }

    /// Finds the first event that is younger than the hub's maximum age. The next step is
    /// [`load_history`](Self::load_history).
    pub(super) async fn find_history(&mut self, stream: &mut Stream) -> Result<(), Stop> {
        // Create the stream now: if the first event created it, a new stream could not be
        // distinguished from a lost one.
        stream.mark(MarkIf::Empty, StreamId::ZERO, StreamId::ZERO).await?;
        let max_age = u64::try_from(self.feed.max_age().as_millis()).unwrap_or(u64::MAX);
        let start = self.clock.now().saturating_sub(max_age);
        match stream.newest_before(start).await? {
            // A client that resumes before the history receives a gap.
            Some(before) => {
                self.last = LastEntry::with_id(before);
                self.report_loss(before)?;
            }
            None => {
                let first = stream.range(RangeStart::First, None, 1).await?;
                if let Some(first) = first.first() {
                    self.report_loss_before(first)?;
                }
            }
        }
        Ok(())
    }

    /// Loads the history. After an error, it can go on over another connection.
    pub(super) async fn load_history(&mut self, stream: &mut Stream) -> Result<(), Stop> {
        self.catch_up(stream).await?;
        self.is_loaded = true;
        Ok(())
    }

    /// Reads to the end of the stream, and reports or marks the losses that it finds.
    pub(super) async fn catch_up(&mut self, stream: &mut Stream) -> Result<(), Stop> {
        // Set once the loss of the last entry was reported or marked, so that the next read starts
        // after that entry. If that read is empty, the marker is lost too, so start over.
        let mut has_handled_loss = false;
        loop {
            let is_inclusive =
                self.last.id > StreamId::ZERO && !has_handled_loss && !mutant::reads_exclusively();
            let last = self.last.id;
            let from = if is_inclusive { RangeStart::At(last) } else { RangeStart::After(last) };
            let count = self.page_size.entries() + usize::from(is_inclusive);
            let read = self.gate.acknowledgements().begin_read();
            let asked = Instant::now();
            let mut page = stream.range(from, None, count).await?;
            let is_full = page.len() == count;
            let new_entries = page.len().saturating_sub(usize::from(is_inclusive));
            self.page_size.adapt(new_entries, asked.elapsed());
            if is_inclusive {
                match page.first() {
                    // Until now, only its id may have been known.
                    Some(first) if self.last.matches(first) => self.last = first.identity().into(),
                    first => {
                        self.handle_missing_last(stream, first).await?;
                        has_handled_loss = true;
                        continue;
                    }
                }
                page.remove(0);
            }
            let has_nothing_after_loss = has_handled_loss && page.is_empty();
            has_handled_loss = false;
            self.feed_entries(stream, page).await?;
            if !is_full && !has_nothing_after_loss {
                self.gate.acknowledgements().finish_read(read);
                return Ok(());
            }
        }
    }

    /// Marks the loss of acknowledged entries, so that every process reports it.
    pub(super) async fn mark_losses(&mut self, stream: &mut Stream) -> Result<(), Stop> {
        // The marker can be lost as well.
        while self.gate.acknowledgements().has_lost() {
            self.mark(stream, MarkIf::Always, self.gate.newest_known()).await?;
            self.catch_up(stream).await?;
        }
        Ok(())
    }

    /// Advances the ids if they are ahead of the server's clock, before this process publishes.
    ///
    /// The server may have returned to an older state, after which only other processes know some
    /// ids. Redis would assign these again, because it only counts while its clock is behind. One
    /// process does this for each start of a server.
    pub(super) async fn advance_ids(
        &mut self,
        stream: &mut Stream,
        server: &str,
    ) -> Result<(), Stop> {
        if self.clock.is_behind(self.last.id.milliseconds) && self.advanced_server != server {
            stream.skip_to(self.last.id.leap(), server).await?;
            server.clone_into(&mut self.advanced_server);
        }
        Ok(())
    }

    async fn mark(
        &self,
        stream: &mut Stream,
        condition: MarkIf,
        known: StreamId,
    ) -> Result<(), Error> {
        let newest = self.gate.newest_known();
        if let Some(marker) = stream.mark(condition, known, newest).await? {
            self.gate.acknowledgements().expect_marker(marker);
        }
        Ok(())
    }

    /// Handles a stream that no longer has `last`: reports the loss here, or marks it for all
    /// processes. `first` is the first remaining entry after `last`, or another one with its id.
    async fn handle_missing_last(
        &mut self,
        stream: &mut Stream,
        first: Option<&RawEntry>,
    ) -> Result<(), Stop> {
        // The markers that this process has read may be missing too, and other processes may not
        // have read them.
        self.newest_marker = StreamId::ZERO;
        let last = self.last.id;
        let older = stream.range(RangeStart::First, Some(last), 1).await?;
        if mutant::writes_no_marker() {
            self.report_loss(last.next())?;
            _ = stream.skip_to(StreamId::at(last.milliseconds.saturating_add(1)), "").await;
        } else if let Some(first) = first
            && older.is_empty()
        {
            // The entries were trimmed while this process was disconnected. Other processes have
            // lost nothing, so no marker is written.
            self.report_loss_before(first)?;
            self.gate.acknowledgements().forgive_before(first.id);
        } else {
            let is_replaced = first.is_some_and(|first| first.id == last);
            let condition = if is_replaced { MarkIf::Always } else { MarkIf::Missing(last) };
            self.mark(stream, condition, last).await?;
        }
        Ok(())
    }

    /// Feeds entries to the hub.
    pub(super) async fn feed_entries(
        &mut self,
        stream: &mut Stream,
        entries: Vec<RawEntry>,
    ) -> Result<(), Stop> {
        let tracks = self.gate.acknowledgements().needs_entries();
        let mut entries = entries.into_iter();
        let mut tracked = Vec::new();
        let mut entries_in_poll = 0;
        while let Some(entry) = entries.next() {
            let id = entry.id;
            entries_in_poll += 1;
            let yields = entries_in_poll == ENTRIES_PER_POLL;
            let skips = id.has_high_counter() && self.skipped_millisecond < id.milliseconds;
            // Hashing each entry would cost time. Only one after which reading can stop is compared
            // later: the last one, or one before an `await`, at which the session can end.
            let is_compared = yields || skips || entries.len() == 0;
            let identity = (tracks || is_compared).then(|| entry.identity());
            self.feed_entry(entry)?;
            self.last = identity.map_or(LastEntry::with_id(id), LastEntry::from);
            tracked.extend(identity.filter(|_| tracks));
            if is_compared {
                self.pass(&tracked);
                tracked.clear();
            }
            if skips {
                self.skipped_millisecond = id.milliseconds;
                // The next reader tries again.
                _ = stream.skip_to(StreamId::at(id.milliseconds.saturating_add(1)), "").await;
            }
            if yields {
                entries_in_poll = 0;
                yield_now().await;
            }
        }
        Ok(())
    }

    /// Compares the entries that were read with those that were acknowledged.
    fn pass(&self, entries: &[Identity]) {
        let mut acknowledgements = self.gate.acknowledgements();
        acknowledgements.pass(entries, self.last.id);
        acknowledgements.cover(self.newest_marker);
    }

    fn feed_entry(&mut self, RawEntry { id, fields }: RawEntry) -> Result<(), Stop> {
        match Entry::decode(fields) {
            Entry::Event { topic, event, is_last } => {
                let arrival = Arrival {
                    sequence: id.sequence(),
                    age: self.clock.age_of(id.milliseconds),
                    at: Duration::from_millis(id.milliseconds),
                    is_last,
                };
                self.feed.event(arrival, &topic, &event)?;
            }
            Entry::Gap { known } => self.feed_marker(id, known)?,
            Entry::Skip { server } if server.is_empty() => {}
            Entry::Skip { server } => self.advanced_server = server,
            Entry::Foreign => self.health.count_foreign_entry(),
        }
        Ok(())
    }

    /// Reports the loss that a marker records, unless an earlier marker already reported it.
    ///
    /// Several processes can mark the same loss. A marker records a new loss if its writer knew the
    /// newest marker or a later entry, or if it created the stream (`0-0`). A loss that only this
    /// process reported does not count: a client may reconnect from a process that did not report
    /// it.
    fn feed_marker(&mut self, id: StreamId, known: StreamId) -> Result<(), Stop> {
        let is_new_loss = known == StreamId::ZERO || known >= self.newest_marker;
        if is_new_loss {
            self.newest_marker = id;
            self.report_loss(id)?;
        }
        Ok(())
    }

    /// Reports that events may have been lost between the last entry and `first`.
    fn report_loss_before(&mut self, first: &RawEntry) -> Result<(), Stop> {
        // The loss is reported when this marker is fed, at the same position in all processes.
        let is_marker = matches!(Entry::decode(first.fields.clone()), Entry::Gap { .. });
        let up_to = first.id.before();
        if is_marker || up_to <= self.last.id { Ok(()) } else { self.report_loss(up_to) }
    }

    fn report_loss(&mut self, up_to: StreamId) -> Result<(), Stop> {
        if self.feed.report_loss(up_to.sequence())? && self.is_loaded {
            self.health.count_loss();
        }
        Ok(())
    }

    pub(super) const fn last(&self) -> LastEntry {
        self.last
    }
}
