use std::collections::{BTreeMap, VecDeque, btree_map::Entry};

use crate::redis::stream::{Identity, StreamId};

/// The entries that were read while events are in flight, because an acknowledgement can arrive
/// after the reader has passed its entry.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// In ascending order.
    entries: VecDeque<Identity>,
    /// The number of entries that were removed.
    removed: u64,
    /// The number of events in flight for each start.
    in_flight: BTreeMap<Start, usize>,
}

/// The number of entries that were read before an event was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start(u64);

impl Recent {
    /// Adds an event that is about to be sent.
    pub(crate) fn begin(&mut self) -> Start {
        let start = Start(self.removed.saturating_add(self.entries.len() as u64));
        *self.in_flight.entry(start).or_default() += 1;
        start
    }

    /// Removes an event, and the entries that were read before all others were sent.
    pub(crate) fn end(&mut self, start: Start) {
        if let Entry::Occupied(mut in_flight) = self.in_flight.entry(start) {
            *in_flight.get_mut() -= 1;
            if *in_flight.get() == 0 {
                in_flight.remove();
            }
        }
        let oldest = self.in_flight.first_key_value().map_or(u64::MAX, |(start, _)| start.0);
        while self.removed < oldest && self.entries.pop_front().is_some() {
            self.removed += 1;
        }
    }

    /// Returns whether events are in flight.
    pub(crate) fn is_recording(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Adds an entry that was read, if events are in flight.
    pub(crate) fn add(&mut self, entry: Identity) {
        if self.is_recording() {
            self.entries.push_back(entry);
        }
    }

    /// Returns the entry with this id.
    pub(crate) fn find(&self, id: StreamId) -> Option<&Identity> {
        let index = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.entries.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;
    use crate::redis::{stream::Identity, stream::StreamId};

    #[test]
    fn entries_are_kept_since_the_oldest_event_in_flight_was_sent() {
        let mut recent = Recent::default();
        let add = |recent: &mut Recent, ids: &[u64]| {
            for id in ids {
                recent.add(Identity { id: StreamId::at(*id), fingerprint: 0 });
            }
        };
        let kept = |recent: &Recent| {
            (1..=5).filter(|id| recent.find(StreamId::at(*id)).is_some()).collect::<Vec<u64>>()
        };
        assert!(!recent.is_recording());
        add(&mut recent, &[1]);
        assert!(kept(&recent).is_empty());
        let first = recent.begin();
        assert!(recent.is_recording());
        add(&mut recent, &[2, 3]);
        let [second, third] = [recent.begin(), recent.begin()];
        assert_eq!(second, third);
        add(&mut recent, &[4]);
        recent.end(second);
        assert_eq!(kept(&recent), [2, 3, 4]);
        recent.end(first);
        assert_eq!(kept(&recent), [4]);
        recent.end(third);
        assert!(kept(&recent).is_empty());
        assert!(!recent.is_recording());
        let fourth = recent.begin();
        add(&mut recent, &[5]);
        assert_eq!(kept(&recent), [5]);
        recent.end(fourth);
        assert_eq!(recent.removed, 4);
    }
}
