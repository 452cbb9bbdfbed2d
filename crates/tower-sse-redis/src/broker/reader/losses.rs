//! Where losses are found and marked.

use std::sync::Arc;

use tokio::time::Instant;

use super::reader::Reader;
use crate::{
    Error,
    broker::stream::{Entry, RangeStart, RawEntry, RedisStream, StreamId},
};

impl Reader {
    /// Reads to the end of the stream, and finds losses. The next step is
    /// [`mark_losses`](Self::mark_losses).
    pub(crate) async fn catch_up(&mut self, stream: &mut RedisStream) -> Result<(), Error> {
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
                (RangeStart::At(_), _) => {
                    from = RangeStart::First;
                    continue;
                }
                // An older state has replaced the stream.
                (RangeStart::First, Some(first)) if first.id <= self.last.id => {
                    self.gate.ledger().lose(self.last.id.sequence());
                    from = RangeStart::After(self.last.id);
                    continue;
                }
                (RangeStart::First, first) => self.skip_to(first, stream).await?,
                (RangeStart::After(last), Some(first)) => {
                    // Entries after the last one may have been trimmed since the previous reply.
                    let oldest = stream.range(RangeStart::First, 1).await?;
                    if oldest.first().is_none_or(|oldest| oldest.id > last) {
                        self.report_loss_before(first);
                    }
                }
                (RangeStart::After(_), None) => {}
            }
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
        if last > StreamId::ZERO { RangeStart::At(last) } else { RangeStart::First }
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
        if stream.clock.is_behind(self.last.id.milliseconds) && self.advanced_server != *server {
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
