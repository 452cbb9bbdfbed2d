use std::collections::{BTreeMap, VecDeque, btree_map::Entry};

use super::Identity;

/// The entries that were read while events are in flight, because an acknowledgement can arrive
/// after the reader has passed its entry.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// In ascending order.
    entries: VecDeque<Identity>,
    /// The number of events in flight, by the newest entry that was known when they were sent.
    in_flight: BTreeMap<u64, usize>,
}

impl Recent {
    /// Adds an event that is about to be sent. Its number will be above `newest_known`.
    pub(super) fn begin(&mut self, newest_known: u64) {
        *self.in_flight.entry(newest_known).or_default() += 1;
    }

    /// Removes an event, and the entries that no other event can have.
    pub(super) fn end(&mut self, newest_known: u64) {
        if let Entry::Occupied(mut in_flight) = self.in_flight.entry(newest_known) {
            *in_flight.get_mut() -= 1;
            if *in_flight.get() == 0 {
                in_flight.remove();
            }
        }
        let oldest = self.in_flight.first_key_value().map_or(u64::MAX, |(number, _)| *number);
        self.entries.drain(..self.entries.partition_point(|entry| entry.number <= oldest));
    }

    /// Returns whether events are in flight.
    pub(super) fn is_recording(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Adds an entry that was read, if events are in flight.
    pub(super) fn add(&mut self, entry: Identity) {
        if self.is_recording() {
            self.entries.push_back(entry);
        }
    }

    /// Returns the entry with this number.
    pub(super) fn find(&self, number: u64) -> Option<&Identity> {
        let index = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        self.entries.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Identity, Recent};

    #[test]
    fn entries_are_kept_since_the_oldest_event_in_flight_was_sent() {
        let mut recent = Recent::default();
        let add = |recent: &mut Recent, numbers: &[u64]| {
            for number in numbers {
                recent.add(Identity { number: *number, fingerprint: 0 });
            }
        };
        let kept =
            |recent: &Recent| (1..=5).filter(|id| recent.find(*id).is_some()).collect::<Vec<u64>>();
        assert!(!recent.is_recording());
        add(&mut recent, &[1]);
        assert!(kept(&recent).is_empty());
        recent.begin(1);
        assert!(recent.is_recording());
        add(&mut recent, &[2, 3]);
        recent.begin(3);
        recent.begin(3);
        add(&mut recent, &[4]);
        recent.end(3);
        assert_eq!(kept(&recent), [2, 3, 4]);
        recent.end(1);
        assert_eq!(kept(&recent), [4]);
        recent.end(3);
        assert!(kept(&recent).is_empty());
        assert!(!recent.is_recording());
        recent.begin(4);
        add(&mut recent, &[5]);
        assert_eq!(kept(&recent), [5]);
        recent.end(4);
        assert!(recent.entries.is_empty());
    }
}
