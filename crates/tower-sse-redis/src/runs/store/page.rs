use bytes::Bytes;
use redis::{Value, from_redis_value};

use super::{decode::outcome, messages::error_text};
use crate::{
    broker::RawEntry,
    runs::seam::{
        command::Batch,
        reply::{Page, StoredEnd},
    },
};

/// The id of the entry that ends a stream.
const END: (u64, u64) = (u64::MAX, 0);

/// Reads a page of a run's stream. Returns `None` if the reply is not a page.
pub(super) fn parse_page(reply: Value) -> Option<Page> {
    let (is_last, entries): (_, Vec<RawEntry>) = from_redis_value(reply).ok()?;
    let mut page = Page { is_last, ..Page::default() };
    for entry in entries {
        let (at, part) = (entry.id.milliseconds, entry.id.counter);
        let mut fields = PageFields(entry);
        if (at, part) == END {
            page.end = Some(fields.end()?);
            page.is_last = true;
        } else if (at, part) == (0, 1) {
            page.head = fields.take(b"h");
        } else if part == 0 {
            page.batches.push(fields.batch(at)?);
        }
        // Any other entry is the marker behind a large batch.
    }
    Some(page)
}

struct PageFields(RawEntry);

impl PageFields {
    fn batch(&mut self, last: u64) -> Option<Batch> {
        let first = self.number(b"f")?;
        let bytes = self.take(b"d")?;
        (1 <= first && first <= last).then_some(Batch { first, last, bytes })
    }

    fn end(&mut self) -> Option<StoredEnd> {
        let newest = self.number(b"n")?;
        let error = self.take(b"m")?;
        let error = error_text(std::str::from_utf8(&error).ok()?);
        let name = self.take(b"o")?;
        let outcome = outcome(std::str::from_utf8(&name).ok()?);
        let head = self.take(b"h").filter(|head| !head.is_empty());
        Some(StoredEnd { outcome, error, newest, head })
    }

    fn number(&mut self, name: &[u8]) -> Option<u64> {
        std::str::from_utf8(&self.take(name)?).ok()?.parse().ok()
    }

    fn take(&mut self, name: &[u8]) -> Option<Bytes> {
        let mut pairs = self.0.fields.chunks_exact_mut(2);
        let named = |pair: &&mut [Vec<u8>]| pair.first().is_some_and(|field| field == name);
        let [_, value] = pairs.find(named)? else { return None };
        Some(std::mem::take(value).into())
    }
}
