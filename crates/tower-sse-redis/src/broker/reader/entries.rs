//! Where entries are fed to the hub.

use tokio::task::yield_now;
use tower_sse::hub::broker::Arrival;

use super::reader::Reader;
use crate::broker::stream::{Clock, Entry, Identity, RawEntry, RedisStream, StreamId};

/// The number of entries that are fed before the reader yields to other tasks. Reading them takes
/// 0.2 to 0.8 ms, depending on the number of topics (`benches/redis.sh`).
const ENTRIES_PER_POLL: usize = 100;

impl Reader {
    /// Feeds entries to the hub.
    pub(crate) async fn feed_entries(&mut self, stream: &mut RedisStream, entries: Vec<RawEntry>) {
        let tracks = self.gate.ledger().needs_entries();
        let mut entries = entries.into_iter();
        let mut tracked = Vec::new();
        let mut marker = StreamId::ZERO;
        let mut entries_in_poll = 0;
        while let Some(entry) = entries.next() {
            let id = entry.id;
            entries_in_poll += 1;
            let yields = entries_in_poll == ENTRIES_PER_POLL;
            let skips = id.has_high_counter() && self.skipped_millisecond < id.milliseconds;
            // The reader can stop after the last entry of a page, and before each `await`. It
            // always hashes the entries before such a stop, and all others only while
            // acknowledgements are tracked.
            let is_compared = yields || skips || entries.len() == 0;
            let identity = (tracks || is_compared).then(|| entry.identity());
            if self.feed_entry(&stream.clock, entry) {
                marker = id;
            }
            tracked.extend(identity.filter(|_| tracks).map(Identity::of_sequence));
            if is_compared && let Some(identity) = identity {
                self.last = identity;
                let mut ledger = self.gate.ledger();
                ledger.pass(&tracked, id.sequence());
                ledger.cover(marker.sequence());
                drop(ledger);
                tracked.clear();
            }
            if skips {
                self.skipped_millisecond = id.milliseconds;
                // Ignore an error: every process that reads an entry with a high counter tries this.
                _ = stream.skip_to(StreamId::at(id.milliseconds.saturating_add(1)), "").await;
            }
            if yields {
                entries_in_poll = 0;
                yield_now().await;
            }
        }
    }

    /// Feeds an entry, and returns whether it is a marker. Once the hub is closed, this does nothing,
    /// and the task ends at its next `await`.
    fn feed_entry(&mut self, clock: &Clock, RawEntry { id, fields }: RawEntry) -> bool {
        match Entry::decode(fields) {
            Entry::Event { topic, event, ends_topic } => {
                let age = clock.age_of(id.milliseconds);
                let arrival = Arrival::new(id.sequence(), id.time(), age).ends_topic(ends_topic);
                _ = self.feed.event(arrival, &topic, &event);
            }
            Entry::Gap => {
                self.report_loss(id.sequence());
                return true;
            }
            Entry::Skip { server } if !server.is_empty() => self.advanced_server = server,
            Entry::Skip { .. } => {}
            Entry::Foreign => self.stats.count_foreign_entry(),
        }
        false
    }
}
