use std::sync::Arc;

use super::{
    GapPolicy, Subscribe, Subscription, cursor::TopicCursor, flush_window::FlushWindow,
    preamble::Preamble,
};
use crate::{
    connection::LastEventId,
    event::{Encoded, Event, EventId},
    history::{Position, ResumeFrom, UnknownId},
};

/// Where a subscription starts.
impl Subscribe {
    /// Starts the subscription after the last event that the client has seen.
    ///
    /// `last` is what the request has, or an [`EventId`], such as a
    /// [`position`](crate::hub::Hub::position).
    ///
    /// | last event id | the subscription sends |
    /// |---|---|
    /// | none, or empty | the [greeting](Self::greeting), the [`recent`](Self::recent) and [latest](crate::hub::Retention::latest) events, and the events that are published after this call |
    /// | one of this hub | all later events, with a gap for each topic that has evicted some of them |
    /// | one of another hub, such as the one before a restart | all kept events, and a gap for each topic: before its first event, or at once if it keeps none. A [latest](crate::hub::Retention::latest) event replaces the gap of its topic |
    /// | malformed, or later than any id that the hub or its broker can have assigned | a gap for each topic, then the same as for a first visit |
    ///
    /// - After an id of another hub, the gap of a topic that has evicted events has the position of
    ///   the newest evicted one. Events of other topics can precede it. A client that reconnects
    ///   with the id of that gap neither receives it again nor misses an event.
    /// - A client that disconnects before it has received all [`recent`](Self::recent) events of
    ///   several topics, or all latest ones, may receive a spurious gap when it reconnects. This
    ///   happens only if one of the topics has evicted an event that is newer than the oldest of
    ///   them. After a malformed id, the client may have received that gap already.
    /// - For events that a [broker](crate::hub::Hub::connect) lost before this call, a client with an id
    ///   from before the loss receives a gap for each topic. Other clients receive no further gap.
    /// - A subscription without topics ends at once.
    pub fn resume(mut self, last: impl Into<Option<LastEventId>>) -> Subscription {
        let hub = Arc::clone(&self.hub);
        let window = FlushWindow::new(self.window);
        let mut subscription = Subscription::new(Arc::clone(&hub), self.gap_policy, window);
        // Loaded before joining, so that a subscription that a publisher counts receives its event.
        let newest = hub.committed();
        subscription.join(&self.topics, self.keeps_all);
        // After an id of this hub, all later losses are reported. Otherwise, only losses after the
        // start: a client without an id has missed nothing, and after an unknown id each topic has
        // a gap anyway.
        subscription.loss_seen = newest;
        let parse = |id: Option<LastEventId>| {
            ResumeFrom::parse(id.as_ref(), hub.epoch, hub.newest_possible())
        };
        let last = parse(last.into());
        match self.since.take() {
            Some(since) => {
                subscription.begins_anew = true;
                let since = parse(Some(since.into()));
                self.start_since(since, last, newest, &mut subscription);
            }
            None => self.start(last, newest, &mut subscription),
        }
        subscription
    }

    fn start(self, last: ResumeFrom, newest: u64, subscription: &mut Subscription) {
        match last {
            ResumeFrom::Seen(seen) => subscription.seek_after(seen),
            ResumeFrom::Unknown(UnknownId::Foreign) => {
                subscription.unknown_id = Some(UnknownId::Foreign);
                subscription.cursors.iter_mut().for_each(TopicCursor::seek_foreign);
            }
            ResumeFrom::FirstVisit | ResumeFrom::Unknown(UnknownId::Malformed) => {
                let recent_from = before_recent(&subscription.cursors, self.recent, newest);
                for cursor in subscription.cursors.iter_mut() {
                    cursor.seek_first_visit(recent_from, newest);
                }
                let start = before_latest(&subscription.cursors, recent_from);
                let missed_after =
                    (last != ResumeFrom::FirstVisit).then(|| UnknownId::Malformed.position());
                subscription.begin_with(missed_after, start, self.greeting);
            }
        }
    }

    /// Starts after the id of a client that has missed nothing, and otherwise after the position for
    /// which the greeting has the state.
    fn start_since(
        self,
        since: ResumeFrom,
        last: ResumeFrom,
        newest: u64,
        subscription: &mut Subscription,
    ) {
        let missed_after = match last {
            ResumeFrom::Seen(seen) => {
                subscription.seek_after(seen);
                if !subscription.has_gap(newest) {
                    return;
                }
                Some(subscription.hub.position(seen))
            }
            ResumeFrom::Unknown(id) => Some(id.position()),
            // A position of another hub: events may have been missed since.
            ResumeFrom::FirstVisit if !matches!(since, ResumeFrom::Seen(_)) => {
                Some(UnknownId::Malformed.position())
            }
            ResumeFrom::FirstVisit => None,
        };
        let start = if let ResumeFrom::Seen(since) = since { since } else { newest };
        subscription.seek_after(start);
        subscription.begin_with(missed_after, start, self.greeting);
    }
}

impl Subscription {
    /// Moves to the position after an id of this hub.
    fn seek_after(&mut self, seen: u64) {
        self.loss_seen = seen;
        self.cursors.iter_mut().for_each(|cursor| cursor.seek_after(seen));
    }

    /// Returns whether the client has missed events that were committed up to `newest`.
    fn has_gap(&self, newest: u64) -> bool {
        self.unreported_loss().is_some_and(|loss| loss <= newest)
            || self.cursors.iter().any(TopicCursor::has_gap)
    }

    /// Sends a gap for each topic to a client that may have missed events, and the greeting, before the
    /// events after `start`. `missed_after` is a position after which this hub reports all gaps again.
    fn begin_with(&mut self, missed_after: Option<Position>, start: u64, greeting: Option<Event>) {
        let missed_after = missed_after.filter(|_| self.gap_policy != GapPolicy::Ignore);
        let start = self.hub.position(start);
        let ends = missed_after.is_some()
            && self.gap_policy == GapPolicy::ReportAndEnd
            && !self.begins_anew;
        let greeting = greeting.filter(|_| !ends);
        let greeting = greeting.map(|event| Encoded::from(event.id(EventId::from(start))));
        let before = missed_after.unwrap_or(start);
        if missed_after.is_some() || greeting.is_some() {
            self.preamble = Some(Box::new(Preamble {
                before,
                // A client that reconnects before the greeting must receive it.
                last: if greeting.is_some() { before } else { start },
                next_gap: if missed_after.is_some() { 0 } else { self.cursors.len() },
                greeting,
                ends,
            }));
        }
    }
}

/// Returns the position before the newest `count` events of all topics together, except those in
/// which each event replaces the one before it.
fn before_recent(cursors: &[TopicCursor], count: usize, newest: u64) -> u64 {
    if count == 0 {
        return newest;
    }
    let mut recent: Vec<u64> = Vec::new();
    for cursor in cursors.iter().filter(|cursor| !cursor.topic().is_latest()) {
        recent.extend(cursor.topic().lock().log.recent(count, newest));
    }
    recent.sort_unstable_by(|one, other| other.cmp(one));
    match recent.get(count - 1).or(recent.last()) {
        Some(oldest) => oldest - 1,
        None => newest,
    }
}

/// Returns the position before the kept events of topics in which each event replaces the one before
/// it, or `position` if that is earlier.
fn before_latest(cursors: &[TopicCursor], position: u64) -> u64 {
    let latest = cursors.iter().filter(|cursor| cursor.topic().is_latest());
    let oldest = latest.filter_map(|cursor| cursor.topic().lock().log.next(0)).min();
    oldest.map_or(position, |oldest| position.min(oldest - 1))
}
