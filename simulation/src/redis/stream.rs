use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use super::{id::Id, resp::Reply};

/// The fields of an entry: alternating names and values.
pub type Fields = Arc<Vec<Vec<u8>>>;

/// A stream: its entries, and the last id that it has assigned.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    entries: BTreeMap<Id, Fields>,
    last: Id,
}

impl Stream {
    /// Adds an entry with this id, or with the next one at this time.
    pub(super) fn add(&mut self, id: Option<Id>, now: u64, fields: Fields) -> Result<Id, Reply> {
        let exhausted = "The stream has exhausted the last possible ID, unable to add more items";
        let next = self.last.next().ok_or_else(|| Reply::error(exhausted))?;
        let id = match id {
            Some(id) if id <= self.last => {
                return Err(Reply::error(
                    "The ID specified in XADD is equal or smaller than the target stream top item",
                ));
            }
            Some(id) => id,
            None if now > self.last.milliseconds => Id { milliseconds: now, counter: 0 },
            None => next,
        };
        self.entries.insert(id, fields);
        self.last = id;
        Ok(id)
    }

    /// Adds an entry with the next id in this millisecond.
    pub(super) fn add_in(&mut self, millisecond: u64, fields: Fields) -> Result<Id, Reply> {
        let first = Id { milliseconds: millisecond, counter: 0 };
        let id = self.last.next().filter(|next| next.milliseconds == millisecond).unwrap_or(first);
        self.add(Some(id), 0, fields)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the size of all entries in bytes.
    pub(super) fn bytes(&self) -> usize {
        let size = |fields: &Fields| 32 + fields.iter().map(Vec::len).sum::<usize>();
        self.entries.values().map(size).sum()
    }

    /// Returns the last id that was assigned.
    pub(super) const fn last(&self) -> Id {
        self.last
    }

    pub(super) fn has(&self, range: RangeInclusive<Id>) -> bool {
        range.start() <= range.end() && self.entries.range(range).next().is_some()
    }

    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (Id, &Fields)> {
        self.entries.iter().map(|(id, fields)| (*id, fields))
    }

    pub(super) fn range(
        &self,
        range: RangeInclusive<Id>,
        count: usize,
        is_reversed: bool,
    ) -> Reply {
        if range.start() > range.end() {
            return Reply::Array(Vec::new());
        }
        let entries = self.entries.range(range);
        Reply::Array(if is_reversed {
            entries.rev().take(count).map(entry).collect()
        } else {
            entries.take(count).map(entry).collect()
        })
    }

    pub(super) fn remove(&mut self, id: Id) -> bool {
        self.entries.remove(&id).is_some()
    }

    /// Removes the oldest entries beyond `length`, and returns how many those were.
    pub(super) fn trim(&mut self, length: usize) -> usize {
        let excess = self.entries.len().saturating_sub(length);
        for _ in 0..excess {
            self.entries.pop_first();
        }
        excess
    }

    /// Removes the entries below an id, and returns how many those were.
    pub(super) fn trim_below(&mut self, first: Id) -> usize {
        let kept = self.entries.split_off(&first);
        std::mem::replace(&mut self.entries, kept).len()
    }

    /// Removes the newest entries, as a replica that is behind does not have them. Returns how many
    /// were removed.
    pub(super) fn forget_newest(&mut self, count: usize) {
        for _ in 0..count {
            self.entries.pop_last();
        }
        self.last = self.entries.last_key_value().map_or(Id::MIN, |(id, _)| *id);
    }
}

fn entry((id, fields): (&Id, &Fields)) -> Reply {
    let fields = fields.iter().map(|field| Reply::Bulk(field.clone())).collect();
    Reply::Array(vec![Reply::bulk(id), Reply::Array(fields)])
}
