use std::collections::{BTreeMap, VecDeque, btree_map::Entry};

use crate::log::Identity;

/// The events acknowledged to this process. The reader (the follower) must meet each in the log.
///
/// The reader meets an event if an entry has the event's number and fingerprint. The number alone
/// does not prove that the event is still in the log, because a server that has returned to an
/// older state can assign numbers again.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The number of the session whose acknowledgements count.
    session: u64,
    /// The highest number that was read, skipped or acknowledged.
    pub(crate) newest_known: u64,
    /// The number of the last entry that was read or skipped.
    last_read: u64,
    /// The acknowledged entries that the reader has not reached, in ascending order.
    pending: VecDeque<Pending>,
    recent: Recent,
    /// The number of reads that were sent.
    reads: u64,
    /// The number of the newest lost entry. `None` if no entry is lost or a mark follows it.
    pub(crate) lost: Option<u64>,
}

#[derive(Debug)]
struct Pending {
    entry: Identity,
    /// The number of reads that were sent before the acknowledgement.
    reads: u64,
}

/// What was known when an event was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    session: u64,
    newest_known: u64,
}

/// The reason an acknowledged event may not reach any client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unproven {
    /// The session ended before the acknowledgement arrived.
    Late,
    /// The event's number is not above all numbers that were known when the event was sent.
    RolledBack,
    /// The reader has passed the number without meeting the event.
    Missing,
}

impl Unproven {
    /// Returns the reason for [`PublishError::Unknown`](tower_sse::hub::PublishError::Unknown).
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Late => "connection lost while the event was published",
            Self::RolledBack => "the log has returned to an older state",
            Self::Missing => "the event is no longer in the log",
        }
    }
}

impl Ledger {
    /// Starts a session and returns its number. Acknowledgements for earlier sessions are rejected.
    pub(crate) fn begin_session(&mut self) -> u64 {
        self.session += 1;
        self.session
    }

    /// Records what is known before an event is sent. Call [`end`](Self::end) once the event's
    /// reply has arrived or is no longer awaited.
    pub(crate) fn begin(&mut self, session: u64) -> Sent {
        self.recent.begin(self.newest_known);
        Sent { session, newest_known: self.newest_known }
    }

    pub(crate) fn end(&mut self, sent: Sent) {
        self.recent.end(sent.newest_known);
    }

    /// Records the acknowledgement of an event, or returns why the event may be lost.
    pub(crate) fn acknowledge(&mut self, sent: Sent, event: Identity) -> Result<(), Unproven> {
        if sent.session != self.session {
            return Err(Unproven::Late);
        }
        if event.number <= sent.newest_known {
            return Err(Unproven::RolledBack);
        }
        if event.number > self.last_read {
            self.await_entry(event);
            return Ok(());
        }
        match self.recent.find(event.number) {
            Some(entry) if event == *entry => Ok(()),
            _ => Err(Unproven::Missing),
        }
    }

    /// Records the acknowledgement of a mark, which reports all losses before it.
    pub(crate) fn await_marker(&mut self, marker: Identity) {
        self.cover(marker.number);
        self.await_entry(marker);
    }

    /// Records that the log contained an entry with this number.
    pub(crate) fn know(&mut self, number: u64) {
        self.newest_known = self.newest_known.max(number);
    }

    fn await_entry(&mut self, entry: Identity) {
        self.know(entry.number);
        let index = self.pending.partition_point(|pending| pending.entry.number < entry.number);
        self.pending.insert(index, Pending { entry, reads: self.reads });
    }

    /// Returns whether [`pass`](Self::pass) needs the entries of a page that has just arrived.
    /// Events sent from now on can't be in this page.
    pub(crate) fn needs_entries(&self) -> bool {
        !self.pending.is_empty() || self.recent.is_recording()
    }

    /// Records that the reader has passed all numbers up to `last`, and has met these entries.
    pub(crate) fn pass(&mut self, entries: &[Identity], last: u64) {
        for entry in entries {
            self.lose_before(entry.number);
            match self.pending.front() {
                Some(pending) if pending.entry.number == entry.number => {
                    let is_met = pending.entry == *entry;
                    self.pending.pop_front();
                    if !is_met {
                        self.lose(entry.number);
                    }
                }
                _ => self.recent.add(*entry),
            }
        }
        self.lose_before(last.saturating_add(1));
        self.last_read = last;
        self.know(last);
    }

    /// Returns the number of a read that is about to be sent.
    pub(crate) fn begin_read(&mut self) -> u64 {
        self.reads += 1;
        self.reads
    }

    /// Records that a read has reached the end of the log. Entries that were acknowledged before
    /// the read was sent but were not met are lost.
    pub(crate) fn finish_read(&mut self, read: u64) {
        let is_lost = |pending: &Pending| pending.reads < read;
        if let Some(lost) = self.pending.iter().rfind(|pending| is_lost(pending)) {
            self.lose(lost.entry.number);
            self.pending.retain(|pending| !is_lost(pending));
        }
    }

    /// Forgets the acknowledged entries before `first`, which were trimmed before they were read.
    pub(crate) fn forgive_before(&mut self, first: u64) {
        self.pending.retain(|pending| pending.entry.number >= first);
    }

    /// Clears the loss if its number is at most `marker`, the number of a mark that reports it.
    pub(crate) fn cover(&mut self, marker: u64) {
        self.lost = self.lost.filter(|lost| *lost > marker);
    }

    /// Records the loss of the acknowledged entries before `number`: the reader has passed them
    /// without meeting them.
    fn lose_before(&mut self, number: u64) {
        while let Some(pending) = self.pending.front()
            && pending.entry.number < number
        {
            let lost = pending.entry.number;
            self.pending.pop_front();
            self.lose(lost);
        }
    }

    pub(crate) fn lose(&mut self, number: u64) {
        self.lost = self.lost.max(Some(number));
    }
}

/// The entries read while events are in flight, except those that were already acknowledged. An
/// event's acknowledgement can arrive after the reader has passed its entry.
#[derive(Debug, Default)]
struct Recent {
    /// In ascending order.
    entries: VecDeque<Identity>,
    /// The number of events or batches in flight, by the highest number known when they were sent.
    in_flight: BTreeMap<u64, usize>,
}

impl Recent {
    /// Adds an event that is about to be sent.
    fn begin(&mut self, newest_known: u64) {
        *self.in_flight.entry(newest_known).or_default() += 1;
    }

    /// Removes an event, and the entries that can't belong to another event in flight:
    /// [`Ledger::acknowledge`] rejects numbers that were known when the event was sent.
    fn end(&mut self, newest_known: u64) {
        if let Entry::Occupied(mut in_flight) = self.in_flight.entry(newest_known) {
            *in_flight.get_mut() -= 1;
            if *in_flight.get() == 0 {
                in_flight.remove();
            }
        }
        let oldest = self.in_flight.first_key_value().map_or(u64::MAX, |(number, _)| *number);
        self.entries.drain(..self.entries.partition_point(|entry| entry.number <= oldest));
    }

    fn is_recording(&self) -> bool {
        !self.in_flight.is_empty()
    }

    fn add(&mut self, entry: Identity) {
        if self.is_recording() {
            self.entries.push_back(entry);
        }
    }

    fn find(&self, number: u64) -> Option<&Identity> {
        let index = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        self.entries.get(index)
    }
}

#[cfg(test)]
mod tests;
