//! Where losses are found and marked.

use std::sync::Arc;

use tokio::time::Instant;
use tower_sse::hub::broker::support::PageSize;

use super::reader::{MAX_TIMEOUTS, Reader};
use crate::{
    Error,
    broker::stream::{Entry, Identity, RangeStart, RawEntry, RedisStream, StreamId},
};

impl Reader {
    /// Reads to the end of the stream, and finds losses. The next step is
    /// [`mark_losses`](Self::mark_losses).
    pub(crate) async fn catch_up(&mut self, stream: &mut RedisStream) -> Result<(), Error> {
        let result = self.read_to_end(stream).await;
        if result.as_ref().is_err_and(Error::is_timeout) {
            self.timeouts += 1;
            self.page_size = PageSize::default();
        }
        result
    }

    async fn read_to_end(&mut self, stream: &mut RedisStream) -> Result<(), Error> {
        if self.timeouts >= MAX_TIMEOUTS {
            self.skip_next(stream).await?;
        }
        let mut from = self.next_range();
        loop {
            let is_inclusive = matches!(from, RangeStart::At(_));
            let count = self.page_size.entries() + usize::from(is_inclusive);
            let read = self.gate.ledger().begin_read();
            let asked = Instant::now();
            let mut page = stream.range(from, count).await?;
            let is_full = page.len() == count;
            let new_entries = page.len().saturating_sub(usize::from(is_inclusive));
            self.page_size.adapt(new_entries, asked.elapsed());
            match (from, page.first()) {
                (RangeStart::At(_), Some(first)) if self.last == first.identity() => {
                    page.remove(0);
                }
                (RangeStart::At(last), _) => {
                    let has_older = stream.has_entries_up_to(last).await?;
                    from = if has_older { RangeStart::After(last) } else { RangeStart::First };
                    continue;
                }
                // The stream was replaced since the previous reply.
                (RangeStart::First, Some(first)) if first.id <= self.last.id => {
                    from = self.next_range();
                    continue;
                }
                (RangeStart::First, first) => self.skip_to(first, stream).await?,
                (RangeStart::After(_), first) => self.follow_older_state(first, stream).await?,
            }
            self.timeouts = 0;
            self.feed_entries(stream, page).await;
            if !is_full {
                self.gate.ledger().finish_read(read);
                return Ok(());
            }
            from = self.next_range();
        }
    }

    /// Returns the start of the next page: the last entry, to find out whether it is still there.
    fn next_range(&self) -> RangeStart {
        let last = self.last.id;
        if last == StreamId::ZERO {
            RangeStart::First
        } else if self.last.is_unread() {
            RangeStart::After(last)
        } else {
            RangeStart::At(last)
        }
    }

    /// Reports the next entry as lost without reading it: one entry must not stop all that follow.
    async fn skip_next(&mut self, stream: &mut RedisStream) -> Result<(), Error> {
        // After a roll-back, the large entry itself can have the id of the last one.
        let is_proof_late = self.timeouts > MAX_TIMEOUTS;
        if !self.last.is_unread() && (is_proof_late || !stream.has(self.last).await?) {
            self.gate.ledger().lose(self.last.id.sequence());
        }
        if let Some(id) = stream.id_after(self.last.id).await? {
            debug!(%id, "skipping an entry that does not come in time");
            self.report_loss(id.sequence());
            self.gate.ledger().pass(&[], id.sequence());
            self.begin_after_unread(id, stream).await?;
        } else if is_proof_late {
            self.begin_after_unread(self.last.id, stream).await?;
        }
        Ok(())
    }

    /// Begins after an entry that was not read. Adds one behind it, if it is the last one: the reader
    /// finds its place by an entry that it has read.
    pub(super) async fn begin_after_unread(
        &mut self,
        id: StreamId,
        stream: &mut RedisStream,
    ) -> Result<(), Error> {
        self.last = Identity::unread(id);
        stream.skip_to(id.leap(), "").await
    }

    /// Marks the losses that no marker covers, so that every process reports them.
    pub(crate) async fn mark_losses(&mut self, stream: &mut RedisStream) -> Result<(), Error> {
        // The marker can be lost as well.
        while self.gate.ledger().has_lost() {
            let newest = StreamId::of_sequence(self.gate.ledger().newest_known);
            if let Some(marker) = stream.mark(Some(self.last.id), newest).await? {
                self.gate.ledger().await_marker(marker.of_sequence());
            }
            self.catch_up(stream).await?;
        }
        Ok(())
    }

    /// Advances the ids if they are ahead of the server's clock, before this process publishes.
    ///
    /// After a rollback, some ids may be known only to other processes. While its clock is behind,
    /// Redis increments its newest id, and would assign those ids again. Only one process does this
    /// for each start of a server.
    pub(crate) async fn advance_ids(&mut self, stream: &mut RedisStream) -> Result<(), Error> {
        let server = Arc::clone(&stream.server);
        let newest = self.last.id.milliseconds;
        if self.advanced_server == *server || !stream.clock.is_behind(newest) {
            return Ok(());
        }
        // The estimate is behind by the delay of the last reply. The server reads the time for this
        // reply after it has assigned the id.
        stream.set_clock().await?;
        if stream.clock.is_behind(newest) {
            stream.skip_to(self.last.id.leap(), &server).await?;
            self.advanced_server = server.to_string();
        }
        Ok(())
    }

    /// Returns whether the server has kept the entries that it has acknowledged, and those that
    /// were read, until they were trimmed. If an older state has replaced the stream, it may never
    /// have had them.
    async fn is_same_lineage(&self, stream: &mut RedisStream) -> Result<bool, Error> {
        let Some(lineage) = &self.lineage else { return Ok(true) };
        Ok(**lineage == stream.ask_lineage().await?)
    }

    /// Reports to the clients of this process that entries may be missing between the last entry and
    /// `first`, the first one that the stream still has.
    ///
    /// If the lineage proves that they were trimmed, other processes may have read them. Otherwise, an
    /// older state without them may have replaced the stream, and all processes must report a loss.
    async fn skip_to(
        &mut self,
        first: Option<&RawEntry>,
        stream: &mut RedisStream,
    ) -> Result<(), Error> {
        let are_trimmed = first.is_some() && self.is_same_lineage(stream).await?;
        if let Some(first) = first {
            self.report_loss_before(first);
        }
        match first {
            Some(first) if are_trimmed => self.gate.ledger().forgive_before(first.id.sequence()),
            None if self.last.id == StreamId::ZERO => {}
            _ => self.gate.ledger().lose(self.last.id.sequence()),
        }
        Ok(())
    }

    /// Goes on with `first` in a stream that was replaced by an older state.
    async fn follow_older_state(
        &mut self,
        first: Option<&RawEntry>,
        stream: &mut RedisStream,
    ) -> Result<(), Error> {
        let last = self.last.id;
        if !self.last.is_unread() {
            self.gate.ledger().lose(last.sequence());
        }
        // Entries after the last one may have been trimmed since the previous reply.
        if let Some(first) = first
            && !stream.has_entries_up_to(last).await?
        {
            self.report_loss_before(first);
        }
        Ok(())
    }

    /// Reports that events may have been lost between the last entry and `first`.
    fn report_loss_before(&mut self, first: &RawEntry) {
        // The loss is reported when this marker is fed, at the same position in all processes.
        let is_marker = Entry::decode(first.fields.clone()) == Entry::Gap;
        let up_to = first.id.sequence().saturating_sub(1);
        if !is_marker && up_to > self.last.id.sequence() {
            self.report_loss(up_to);
        }
    }
}
