use crate::redis::stream::{NOTICE, StreamId, VALIDITY};

/// What this process has read about the ends of topics.
///
/// Every end has an announcement in the stream: an earlier end, or an entry for this purpose. By
/// the times in the ids, the end comes at least [`NOTICE`] and at most [`VALIDITY`] after it. A
/// process that is almost at the end of the stream, and has read no announcement lately, therefore
/// knows that no topic has ended since.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    /// The time of the newest announcement that was read, or that may have been missed.
    newest: u64,
    /// An announcement after which topics can end. Replaced by `next` once that is old enough.
    usable: Option<StreamId>,
    next: Option<StreamId>,
}

impl Announcements {
    /// Records an announcement that was read or acknowledged.
    pub(crate) fn add(&mut self, id: StreamId) {
        self.miss_before(id);
        match self.next {
            Some(next) if id.milliseconds < next.milliseconds.saturating_add(NOTICE) => {}
            next => (self.usable, self.next) = (next.or(self.usable), Some(id)),
        }
    }

    /// Records that entries up to this one were not read.
    pub(crate) fn miss_before(&mut self, id: StreamId) {
        self.newest = self.newest.max(id.milliseconds);
    }

    /// Returns whether a topic can have ended after `last_read` and before `event`, which this
    /// process has added.
    pub(crate) const fn may_end_between(&self, last_read: StreamId, event: StreamId) -> bool {
        let (last_read, event) = (last_read.milliseconds, event.milliseconds);
        last_read <= self.newest.saturating_add(VALIDITY)
            || event >= last_read.saturating_add(NOTICE)
    }

    /// Returns an announcement after which a topic can probably end.
    pub(crate) fn usable(&self) -> Option<StreamId> {
        self.usable.or(self.next)
    }

    /// Forgets an announcement that is too old, or that the stream no longer has.
    pub(crate) fn forget(&mut self, id: StreamId) {
        self.usable = self.usable.filter(|usable| *usable != id);
        self.next = self.next.filter(|next| *next != id);
    }
}

#[cfg(test)]
mod tests {
    use super::{Announcements, NOTICE, StreamId, VALIDITY};

    const NOW: u64 = 1_716_200_000_000;

    fn may_end(announcements: &Announcements, last_read: u64, event: u64) -> bool {
        announcements.may_end_between(StreamId::at(last_read), StreamId::at(event))
    }

    #[test]
    fn topic_can_have_ended_only_after_an_announcement_or_an_entry_that_was_not_read() {
        let mut announcements = Announcements::default();
        assert!(!may_end(&announcements, NOW, NOW));
        assert!(!may_end(&announcements, NOW, NOW + NOTICE - 1));
        assert!(may_end(&announcements, NOW, NOW + NOTICE), "it was announced after the last read");
        announcements.add(StreamId::at(NOW));
        assert!(may_end(&announcements, NOW + VALIDITY, NOW + VALIDITY));
        assert!(!may_end(&announcements, NOW + VALIDITY + 1, NOW + VALIDITY + 1));
        announcements.miss_before(StreamId::at(NOW + 1));
        assert!(may_end(&announcements, NOW + VALIDITY + 1, NOW + VALIDITY + 1));
        announcements.miss_before(StreamId::at(NOW));
        assert!(may_end(&announcements, NOW + VALIDITY + 1, NOW + VALIDITY + 1));
    }

    /// Otherwise a topic that ends shortly after another one would have to wait.
    #[test]
    fn announcement_stays_usable_until_a_later_one_is_old_enough() {
        let mut announcements = Announcements::default();
        assert_eq!(announcements.usable(), None);
        let [first, early, second, third] =
            [0, NOTICE - 1, NOTICE, 2 * NOTICE].map(|after| StreamId::at(NOW + after));
        announcements.add(first);
        for id in [early, second] {
            announcements.add(id);
            assert_eq!(announcements.usable(), Some(first));
        }
        announcements.add(third);
        assert_eq!(announcements.usable(), Some(second));
        announcements.forget(first);
        assert_eq!(announcements.usable(), Some(second));
        announcements.forget(second);
        assert_eq!(announcements.usable(), Some(third));
        announcements.forget(third);
        assert_eq!(announcements.usable(), None);
    }
}
