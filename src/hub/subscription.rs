use std::{
    collections::HashSet,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures_core::Stream;
use tokio::task::coop;

use super::{
    OnGap, gap,
    hub::Shared,
    log::Trash,
    place::{Given, Place},
    position::Unknown,
    waiters::drop_waker,
    window::Window,
};
use crate::event::Encoded;

/// The events of some topics in the order of their hub, as a stream that [`SseLayer`](crate::SseLayer) or
/// [`response`](crate::response) take.
///
/// An item is an event, or several that were behind, already encoded; subscriptions that are at the same
/// place share the bytes. Nothing is queued: it reads from what the topics keep, so a client that is slow
/// delays nobody, and gets a [gap](OnGap) if it is too slow. As tokio's channels do, it lets other tasks run when it
/// has given much.
///
/// Each item takes a look at every one of its topics: that is nothing for a hundred, and some microseconds for a thousand.
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
    /// What its client's last event id was, if not one of this hub.
    pub(super) unknown: Option<Unknown>,
    /// What it begins with.
    pub(super) greeting: Option<Box<Encoded>>,
    ended: bool,
}

impl Subscription {
    /// In no topic yet.
    pub(super) fn new(hub: Arc<Shared>, on_gap: OnGap, window: Option<Box<Window>>) -> Self {
        Self {
            hub,
            places: Vec::new(),
            waker: None,
            window,
            on_gap,
            unknown: None,
            greeting: None,
            ended: false,
        }
    }

    /// Is in these topics from now on, in each once, at no particular place.
    pub(super) fn enter(&mut self, topics: &[String]) {
        let now = self.hub.now();
        let mut trash = Trash::default();
        let mut known = HashSet::new();
        self.places.reserve_exact(topics.len());
        for name in topics {
            // What is here already is left again, should a callback panic for the next.
            self.places.extend(self.hub.with_topic(name, |topic, state| {
                let is_known = topics.len() > 1 && !known.insert(Arc::as_ptr(topic));
                if is_known {
                    return None;
                }
                state.subscribers += 1;
                self.hub.topics.account(topic, &mut state.log, |log| log.trim(now, &mut trash));
                Some(Place::new(Arc::clone(topic)))
            }));
        }
        self.places.shrink_to_fit();
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
            let lost_to = match place.take(bound, &self.hub.topics, trash) {
                #[cfg(tower_sse_loom)]
                Given::Nothing if self.hub.broken == super::Broken::SleepsOnUncommitted => {
                    return None;
                }
                // Something that was not committed yet, or was trimmed just now.
                Given::Nothing => continue,
                Given::Run(run) => return Some(Encoded::of(run.bytes)),
                Given::Gap(lost_to) => lost_to,
            };
            let mut topics = vec![Arc::clone(place.topic().name())];
            for place in &mut self.places {
                if place.take_gap(lost_to) {
                    topics.push(Arc::clone(place.topic().name()));
                }
            }
            if self.on_gap == OnGap::SayNothing {
                continue;
            }
            self.ended = self.on_gap == OnGap::TellAndEnd;
            // What is unknown has gaps in all topics, which come before everything else.
            let again = match self.unknown.take() {
                Some(unknown) => unknown.position(),
                None => self.hub.position(lost_to.saturating_sub(1)),
            };
            return Some(gap::tell(&topics, again, self.hub.position(lost_to)));
        }
    }

    /// Waits in every topic for the next event; not if one has come meanwhile.
    fn sleep(&mut self, waker: &Waker) -> bool {
        if !self.waker.as_ref().is_some_and(|own| own.will_wake(waker)) {
            for place in &mut self.places {
                place.stop_waiting();
            }
            drop_waker(self.waker.replace(waker.clone()));
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
                let mut state = place.topic().lock();
                state.subscribers = state.subscribers.saturating_sub(1);
                !state.is_used()
            };
            if unused {
                self.hub.topics.remove_unused(place.topic());
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
    for (at, place) in places.iter_mut().enumerate() {
        let Some(next) = place.next() else { continue };
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
        let coop = ready!(coop::poll_proceed(cx));
        let mut trash = Trash::default();
        while !this.ended && !this.places.is_empty() {
            if let Some(greeting) = this.greeting.take() {
                return Poll::Ready(Some(*greeting));
            }
            // Looked at before the events: what was published before the end is still given.
            let closed = this.hub.is_closed();
            if let Some(events) = this.take(&mut trash) {
                if let Some(window) = &mut this.window {
                    window.give();
                }
                coop.made_progress();
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
        drop_waker(self.waker.take());
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.places.iter().map(|place| place.topic().name()).collect();
        f.debug_struct("Subscription").field("topics", &topics).finish_non_exhaustive()
    }
}
