use std::{sync::Arc, time::Duration};

use tokio::{task::yield_now, time::Instant};

use super::{page_size::PageSize, stop::Stop};
use crate::{
    hub::{Arrival, Feed},
    redis::{
        health::RedisHealth,
        publisher::Gate,
        stream::{Clock, Entry, LastEntry, MarkIf, RangeStart, RawEntry, RedisStream, StreamId},
    },
};

/// The number of entries that are fed before the reader yields to other tasks. Reading them takes
/// 0.2 to 0.8 ms, depending on the number of topics (`benches/redis.sh`).
const ENTRIES_PER_POLL: usize = 100;

/// The reader of the stream. It feeds every entry to the hub, or reports that entries may be
/// missing.
///
/// `catch_up` reads from the last entry, inclusively. If that entry is still there, the stream is
/// the same one, and nothing after the entry was trimmed. [`RedisStream::wait_after`] checks the same.
pub(crate) struct Reader {
    pub(crate) feed: Feed,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) health: RedisHealth,
    /// The last entry that was read, or the one before the history. `0-0` if there was none yet.
    last: LastEntry,
    pub(crate) page_size: PageSize,
    /// Whether the history is loaded. Losses found before that are not counted.
    is_loaded: bool,
    /// The server of the last session, if there was one.
    server: Option<Arc<str>>,
    /// The marker with which this process has created the stream.
    created: Option<StreamId>,
    /// The last millisecond that a skip advanced the ids past, because its counter was high.
    skipped_millisecond: u64,
    /// The server for which the ids were advanced last, because they were ahead of its clock.
    advanced_server: String,
}

impl Reader {
    pub(crate) fn new(feed: Feed, gate: Arc<Gate>, clock: Arc<Clock>, health: RedisHealth) -> Self {
        Self {
            feed,
            gate,
            clock,
            health,
            last: LastEntry::with_id(StreamId::ZERO),
            page_size: PageSize::new(),
            is_loaded: false,
            server: None,
            created: None,
            skipped_millisecond: 0,
            advanced_server: String::new(),
        }
    }

    /// Finds the first event that is younger than the hub's maximum age. The next step is
    /// [`load_history`](Self::load_history).
    pub(crate) async fn find_history(&mut self, stream: &mut RedisStream) -> Result<(), Stop> {
        // Create the stream now: if the first event created it, a new stream could not be
        // distinguished from a lost one.
        self.created = stream.mark(MarkIf::Empty, StreamId::ZERO).await?.map(|marker| marker.id);
        let max_age = u64::try_from(self.feed.max_age().as_millis()).unwrap_or(u64::MAX);
        let start = self.clock.now().saturating_sub(max_age);
        let end = start.saturating_sub(1).to_string();
        if let Some(before) = stream.newest_up_to(&end).await? {
            // A client that resumes before the history receives a gap.
            self.last = LastEntry::with_id(before);
            self.gate.acknowledgements().announcements.miss_before(before);
            self.report_loss(before)?;
        }
        Ok(())
    }

    /// Loads the history. After an error, it can go on over another connection.
    pub(crate) async fn load_history(&mut self, stream: &mut RedisStream) -> Result<(), Stop> {
        self.catch_up(stream).await?;
        self.is_loaded = true;
        Ok(())
    }

    /// Reads to the end of the stream, and finds losses. The next step is
    /// [`mark_losses`](Self::mark_losses).
    pub(crate) async fn catch_up(&mut self, stream: &mut RedisStream) -> Result<(), Stop> {
        let mut from = self.next_range();
        loop {
            let is_inclusive = matches!(from, RangeStart::At(_));
            let count = self.page_size.entries() + usize::from(is_inclusive);
            let read = self.gate.acknowledgements().begin_read();
            let asked = Instant::now();
            let mut page = stream.range(from, count).await?;
            let is_full = page.len() == count;
            let new_entries = page.len().saturating_sub(usize::from(is_inclusive));
            self.page_size.adapt(new_entries, asked.elapsed());
            match (from, page.first()) {
                (RangeStart::At(_), Some(first)) if self.last.matches(first) => {
                    // Until now, only its id may have been known.
                    self.last = first.identity().into();
                    page.remove(0);
                }
                (RangeStart::At(_), _) if self.is_same_server(stream) => {
                    from = RangeStart::First;
                    continue;
                }
                (RangeStart::First, first) if first.is_none_or(|first| first.id > self.last.id) => {
                    self.miss_announcements_before(first);
                    self.pass_trimmed(first)?;
                }
                (RangeStart::At(_) | RangeStart::First, _) => {
                    self.gate.acknowledgements().lose(self.last.id);
                    from = RangeStart::After(self.last.id);
                    continue;
                }
                (RangeStart::After(_), first) => self.miss_announcements_before(first),
            }
            self.feed_entries(stream, page).await?;
            if !is_full {
                self.gate.acknowledgements().finish_read(read);
                return Ok(());
            }
            from = self.next_range();
        }
    }

    /// Returns where the next page begins: at the last entry, to find out whether it is still there.
    fn next_range(&self) -> RangeStart {
        let last = self.last.id;
        if last > StreamId::ZERO { RangeStart::At(last) } else { RangeStart::First }
    }

    /// Marks the losses that no marker covers, so that every process reports them.
    pub(crate) async fn mark_losses(&mut self, stream: &mut RedisStream) -> Result<(), Stop> {
        // The marker can be lost as well.
        while self.gate.acknowledgements().has_lost() {
            let newest = self.gate.newest_known();
            let condition = MarkIf::NoneAfter(self.last.id);
            if let Some(marker) = stream.mark(condition, newest).await? {
                self.gate.acknowledgements().await_marker(marker);
            }
            self.catch_up(stream).await?;
        }
        Ok(())
    }

    /// Advances the ids if they are ahead of the server's clock, before this process publishes.
    ///
    /// The server may have returned to an older state, after which only other processes know some
    /// ids. Redis would assign these again, because it only counts while its clock is behind. One
    /// process does this for each start of a server.
    pub(crate) async fn advance_ids(&mut self, stream: &mut RedisStream) -> Result<(), Stop> {
        let server = Arc::clone(&stream.server);
        if self.clock.is_behind(self.last.id.milliseconds) && self.advanced_server != *server {
            stream.skip_to(self.last.id.leap(), &server).await?;
            self.advanced_server = server.to_string();
        }
        Ok(())
    }

    /// Records that the session uses the server of this stream.
    pub(crate) fn set_server(&mut self, stream: &RedisStream) {
        self.server = Some(Arc::clone(&stream.server));
    }

    /// Returns whether the server is that of the last session. If it has nothing older than `last`,
    /// the stream was trimmed, and other processes have lost nothing. Another server may never have
    /// had these entries.
    fn is_same_server(&self, stream: &RedisStream) -> bool {
        self.server.as_ref().is_none_or(|server| *server == stream.server)
    }

    /// Records that entries before `first` may not have been read: those of another copy of the
    /// stream, or trimmed ones.
    fn miss_announcements_before(&self, first: Option<&RawEntry>) {
        let first = first.map_or(self.last.id, |first| first.id);
        if self.created != Some(first) {
            self.gate.acknowledgements().announcements.miss_before(first);
        }
    }

    /// Reports that entries may have been trimmed between the last entry and `first`, which is the
    /// first one that the stream still has.
    fn pass_trimmed(&mut self, first: Option<&RawEntry>) -> Result<(), Stop> {
        match first {
            Some(first) => {
                self.report_loss_before(first)?;
                self.gate.acknowledgements().forgive_before(first.id);
            }
            // The whole stream is gone.
            None if self.last.id > StreamId::ZERO => {
                self.gate.acknowledgements().lose(self.last.id);
            }
            None => {}
        }
        Ok(())
    }

    /// Feeds entries to the hub.
    pub(crate) async fn feed_entries(
        &mut self,
        stream: &mut RedisStream,
        entries: Vec<RawEntry>,
    ) -> Result<(), Stop> {
        let tracks = self.gate.acknowledgements().needs_entries();
        let mut entries = entries.into_iter();
        let mut tracked = Vec::new();
        let mut marker = StreamId::ZERO;
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
            if self.feed_entry(entry)? {
                marker = id;
            }
            self.last = identity.map_or(LastEntry::with_id(id), LastEntry::from);
            tracked.extend(identity.filter(|_| tracks));
            if is_compared {
                let mut acknowledgements = self.gate.acknowledgements();
                acknowledgements.pass(&tracked, id);
                acknowledgements.cover(marker);
                drop(acknowledgements);
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

    /// Feeds an entry, and returns whether it is a marker.
    fn feed_entry(&mut self, RawEntry { id, fields }: RawEntry) -> Result<bool, Stop> {
        match Entry::decode(fields) {
            Entry::Event { topic, event, is_last } => {
                let arrival = Arrival {
                    sequence: id.sequence(),
                    age: self.clock.age_of(id.milliseconds),
                    at: Duration::from_millis(id.milliseconds),
                    is_last,
                };
                if is_last {
                    self.add_announcement(id);
                }
                self.feed.event(arrival, &topic, &event)?;
            }
            Entry::Announcement => self.add_announcement(id),
            Entry::Gap => {
                self.report_loss(id)?;
                return Ok(true);
            }
            Entry::Skip { server } if server.is_empty() => {}
            Entry::Skip { server } => self.advanced_server = server,
            Entry::Foreign => self.health.count_foreign_entry(),
        }
        Ok(false)
    }

    fn add_announcement(&self, id: StreamId) {
        self.gate.acknowledgements().announcements.add(id);
    }

    /// Reports that events may have been lost between the last entry and `first`.
    fn report_loss_before(&mut self, first: &RawEntry) -> Result<(), Stop> {
        // The loss is reported when this marker is fed, at the same position in all processes.
        let is_marker = Entry::decode(first.fields.clone()) == Entry::Gap;
        let up_to = first.id.before();
        if is_marker || up_to <= self.last.id { Ok(()) } else { self.report_loss(up_to) }
    }

    fn report_loss(&mut self, up_to: StreamId) -> Result<(), Stop> {
        if self.feed.report_loss(up_to.sequence())? && self.is_loaded {
            self.health.count_loss();
        }
        Ok(())
    }

    pub(crate) const fn last(&self) -> LastEntry {
        self.last
    }
}
