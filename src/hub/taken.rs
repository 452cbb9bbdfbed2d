use std::sync::Arc;

use super::{
    GapPolicy, Subscription,
    cursor::{Given, TopicCursor},
    deferred_drops::DeferredDrops,
    gap,
    opening::GAPS_AT_ONCE,
    upcoming::Next,
};
use crate::event::Encoded;

/// How often in one poll something may turn out to give nothing.
const TURNS: usize = 64;

/// What a subscription took from its topics.
pub(super) enum Taken {
    Nothing,
    Events(Encoded),
    /// It has looked at many topics, and is not done: other tasks have to run.
    TooMuch,
}

impl Subscription {
    /// What comes next of all that is committed.
    pub(super) fn take(&mut self, trash: &mut DeferredDrops) -> Taken {
        for _ in 0..TURNS {
            // Everything up to here can be read in every topic, so nothing can still come before
            // it.
            let committed = self.hub.committed();
            let (index, bound) = match self.places.as_slice() {
                [place] if place.is_quiet() => return Taken::Nothing,
                [_] => (0, committed.saturating_add(1)),
                _ => match self.upcoming.next(committed, &mut self.places) {
                    Next::Nothing => return Taken::Nothing,
                    Next::TooMuch => return Taken::TooMuch,
                    Next::TopicCursor { index, bound } => (index, bound),
                },
            };
            let Some(place) = self.places.get_mut(index) else { return Taken::Nothing };
            let (given, next) = place.take(bound, &self.hub.topics, trash);
            self.list(index, next);
            match given {
                #[cfg(tower_sse_loom)]
                Given::Nothing if self.hub.broken == super::Broken::SleepsOnUncommitted => {
                    return Taken::Nothing;
                }
                // Something that was not committed yet, or was trimmed just now.
                Given::Nothing => {}
                Given::Run(run) => return Taken::Events(Encoded::of(run.bytes)),
                Given::Gap(lost_to) => {
                    if let Some(gaps) = self.gaps(index, lost_to) {
                        return Taken::Events(gaps);
                    }
                }
            }
        }
        Taken::TooMuch
    }

    #[inline]
    fn list(&mut self, index: usize, next: Option<u64>) {
        // A subscription to one topic needs no list.
        if let Some(next) = next
            && self.places.len() > 1
        {
            self.upcoming.list(index, next, &mut self.places);
        }
    }

    /// The gap of a topic that was taken just now, with those of other topics at the same place, or
    /// as many of them as one item has.
    fn gaps(&mut self, index: usize, lost_to: u64) -> Option<Encoded> {
        let name = |place: &TopicCursor| Arc::clone(place.topic().name());
        let mut topics: Vec<_> = self.places.get(index).map(name).into_iter().collect();
        let mut not_there = Vec::new();
        let mut are_more = false;
        while let Some(index) = self.upcoming.pop_at(lost_to, &mut self.places) {
            let Some(place) = self.places.get_mut(index) else { break };
            if !place.has_gap(lost_to) {
                not_there.push(index);
                continue;
            }
            are_more = topics.len() >= GAPS_AT_ONCE;
            if are_more {
                self.list(index, Some(lost_to));
                break;
            }
            topics.push(name(place));
            place.begin(lost_to, false);
            let next = place.next();
            self.list(index, next);
        }
        for index in not_there {
            let next = self.places.get(index).and_then(TopicCursor::next);
            self.list(index, next);
        }
        if self.gap_policy == GapPolicy::Ignore {
            return None;
        }
        // After an id that says nothing, what was told so far says nothing either.
        let again = match self.unknown {
            Some(unknown) => unknown.position(),
            None => self.hub.position(lost_to.saturating_sub(1)),
        };
        if are_more {
            return Some(gap::tell(&topics, again, again));
        }
        self.unknown = None;
        self.ended = self.gap_policy == GapPolicy::ReportAndEnd;
        Some(gap::tell(&topics, again, self.hub.position(lost_to)))
    }
}
