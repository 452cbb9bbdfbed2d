use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures_core::Stream;

use super::{
    OnGap,
    gap::gap,
    hub::Shared,
    log::{Next, Run, Trash},
    topic::Topic,
    waiters::Ticket,
    window::Window,
};
use crate::event::Encoded;

/// The events of some topics in the order of their hub, as a stream that [`SseLayer`](crate::SseLayer) or
/// [`response`](crate::response) take.
///
/// An item is an event, or several that were behind, already encoded; subscriptions that are at the same
/// place share the bytes. Nothing is queued: it reads from what the topics keep, so a client that is slow
/// delays nobody, and gets a [gap](OnGap) if it is too slow.
///
/// It ends when the hub is [closed](super::Hub::close), once it has given everything, and at once if it has
/// no topics. Dropped, it is out of the hub.
pub struct Subscription {
    hub: Arc<Shared>,
    pub(super) places: Vec<Place>,
    /// What the tickets in the places were given for.
    waker: Option<Waker>,
    window: Option<Box<Window>>,
    on_gap: OnGap,
    ended: bool,
}

/// Where a subscription is in one topic.
pub(super) struct Place {
    topic: Arc<Topic>,
    /// The newest event that was given, or told as lost.
    seen: u64,
    ticket: Ticket,
    /// A gap is to be told, whatever is kept.
    gap_due: bool,
}

/// What a topic has to give.
enum Given {
    Nothing,
    Gap(u64),
    Run(Run),
}

impl Place {
    pub(super) const fn new(topic: Arc<Topic>) -> Self {
        Self { topic, seen: 0, ticket: Ticket::NONE, gap_due: false }
    }

    pub(super) const fn begin(&mut self, seen: u64, gap_due: bool) {
        self.seen = seen;
        self.gap_due = gap_due;
    }

    pub(super) const fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    pub(super) fn lost_to(&self) -> u64 {
        self.topic.lock().log.lost_to()
    }

    /// Nothing can be new: told without a lock.
    fn is_quiet(&self) -> bool {
        !self.gap_due && self.topic.newest() <= self.seen
    }

    fn next(&self) -> Next {
        let state = self.topic.lock();
        if self.gap_due {
            return Next::Gap(self.seen.max(state.log.lost_to()));
        }
        state.log.next(self.seen)
    }

    fn has_gap_due_at(&self, place: u64) -> bool {
        self.gap_due && self.next() == Next::Gap(place)
    }

    /// Takes what comes next, if that is before `bound`.
    fn take(&mut self, bound: u64, trash: &mut Trash) -> Given {
        let mut state = self.topic.lock();
        let next = if self.gap_due {
            Next::Gap(self.seen.max(state.log.lost_to()))
        } else {
            state.log.next(self.seen)
        };
        match next {
            Next::Gap(lost_to) if lost_to < bound => {
                drop(state);
                self.begin(lost_to, false);
                Given::Gap(lost_to)
            }
            Next::Event(event) if event < bound => {
                let Some(run) = state.log.run(self.seen, bound, trash) else {
                    return Given::Nothing;
                };
                self.seen = run.last;
                Given::Run(run)
            }
            Next::Nothing | Next::Gap(_) | Next::Event(_) => Given::Nothing,
        }
    }

    /// Waits for the next event, unless there is one that was not given yet.
    fn wait(&mut self, waker: &Waker) -> bool {
        if self.ticket.is_of(self.topic.generation()) {
            return self.is_quiet();
        }
        // Wakers are cloned and dropped outside of locks: either can run anybody's code.
        let waker = waker.clone();
        let mut state = self.topic.lock();
        if !self.is_quiet() {
            drop(state);
            return false;
        }
        self.ticket = state.waiters().add(waker);
        true
    }

    #[cfg(tower_sse_loom)]
    fn wait_anyhow(&mut self, waker: &Waker) {
        self.ticket = self.topic.lock().waiters().add(waker.clone());
    }

    fn stop_waiting(&mut self) {
        let waker = self.topic.lock().waiters().remove(self.ticket);
        self.ticket = Ticket::NONE;
        drop(waker);
    }
}

impl Subscription {
    /// In no topic yet.
    pub(super) fn new(hub: Arc<Shared>, on_gap: OnGap, window: Option<Box<Window>>) -> Self {
        Self { hub, places: Vec::new(), waker: None, window, on_gap, ended: false }
    }

    /// Is in these topics from now on, at no particular place.
    pub(super) fn enter(&mut self, topics: &[String]) {
        let now = self.hub.now();
        let mut trash = Trash::new();
        self.places.reserve_exact(topics.len());
        for name in topics {
            // What is here already is left again, should a callback panic for the next.
            self.places.push(self.hub.with_topic(name, |topic, state| {
                state.subscribers += 1;
                let before = state.log.bytes();
                state.log.trim(now, &mut trash);
                self.hub.topics.account(before, state.log.bytes());
                Place::new(Arc::clone(topic))
            }));
        }
    }

    /// What comes next of all that is committed.
    fn take(&mut self, trash: &mut Trash) -> Option<Encoded> {
        loop {
            // Everything up to here can be read in every topic, so nothing can still come before it.
            let end = self.hub.committed().saturating_add(1);
            let (place, bound) = match self.places.as_mut_slice() {
                [place] if place.is_quiet() => return None,
                [place] => (place, end),
                places => match first_of(places, end) {
                    First::Nothing => return None,
                    First::NotCommitted => continue,
                    First::Place(place, bound) => (place, bound),
                },
            };
            let lost_to = match place.take(bound, trash) {
                #[cfg(tower_sse_loom)]
                Given::Nothing if self.hub.broken == super::Broken::SleepsOnUncommitted => {
                    return None;
                }
                // Something that was not committed yet, or was trimmed just now.
                Given::Nothing => continue,
                Given::Run(run) => return Some(Encoded::of(run.bytes)),
                Given::Gap(lost_to) => lost_to,
            };
            if self.on_gap == OnGap::SayNothing {
                continue;
            }
            let topic = Arc::clone(place.topic.name());
            // With an id, a client that leaves now would never be told those which are at the same place.
            let is_last = !self.places.iter().any(|place| place.has_gap_due_at(lost_to));
            self.ended = is_last && self.on_gap == OnGap::TellAndEnd;
            return Some(gap(&topic, is_last.then(|| self.hub.position(lost_to))));
        }
    }

    /// Waits in every topic for the next event; not if one has come meanwhile.
    fn sleep(&mut self, waker: &Waker) -> bool {
        if !self.waker.as_ref().is_some_and(|own| own.will_wake(waker)) {
            for place in &mut self.places {
                place.stop_waiting();
            }
            self.waker = Some(waker.clone());
        }
        #[cfg(tower_sse_loom)]
        if self.hub.broken == super::Broken::SleepsOnUncommitted {
            self.places.iter_mut().for_each(|place| place.wait_anyhow(waker));
            return true;
        }
        self.places.iter_mut().all(|place| place.wait(waker)) && !self.hub.is_closed()
    }

    /// Out of the hub.
    fn leave(&mut self) {
        for mut place in std::mem::take(&mut self.places) {
            place.stop_waiting();
            let unused = {
                let mut state = place.topic.lock();
                state.subscribers = state.subscribers.saturating_sub(1);
                !state.is_used()
            };
            if unused {
                self.hub.topics.remove_unused(&place.topic);
            }
        }
    }
}

enum First<'places> {
    Nothing,
    /// There is something that was not committed when it was looked.
    NotCommitted,
    /// Here, and so much of it that nothing of the others comes between.
    Place(&'places mut Place, u64),
}

/// The place that has what comes first of all, before `end`.
fn first_of(places: &mut [Place], end: u64) -> First<'_> {
    let mut first = None;
    let mut bound = end;
    let mut not_committed = false;
    for (at, place) in places.iter().enumerate() {
        if place.is_quiet() {
            continue;
        }
        let next = match place.next() {
            Next::Nothing => continue,
            Next::Gap(next) | Next::Event(next) => next,
        };
        match first {
            _ if next >= end => not_committed = true,
            Some((_, earlier)) if earlier <= next => bound = bound.min(next),
            Some((_, later)) => {
                bound = bound.min(later);
                first = Some((at, next));
            }
            None => first = Some((at, next)),
        }
    }
    match first.and_then(|(at, next)| Some((places.get_mut(at)?, next))) {
        // Two gaps can have one place.
        Some((place, next)) => First::Place(place, bound.max(next + 1)),
        None if not_committed => First::NotCommitted,
        None => First::Nothing,
    }
}

impl Stream for Subscription {
    type Item = Encoded;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Encoded>> {
        let this = self.get_mut();
        if let Some(window) = &mut this.window {
            ready!(window.poll_open(cx));
        }
        let mut trash = Trash::new();
        while !this.ended && !this.places.is_empty() {
            // Looked at before the events: what was published before the end is still given.
            let closed = this.hub.is_closed();
            if let Some(events) = this.take(&mut trash) {
                if let Some(window) = &mut this.window {
                    window.give();
                }
                return Poll::Ready(Some(events));
            }
            if closed {
                this.ended = true;
            } else if this.sleep(cx.waker()) {
                if let Some(window) = &mut this.window {
                    window.exhaust();
                }
                return Poll::Pending;
            }
        }
        this.leave();
        Poll::Ready(None)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.places.iter().map(|place| place.topic.name()).collect();
        f.debug_struct("Subscription").field("topics", &topics).finish_non_exhaustive()
    }
}
