use std::task::{Context, Poll, Waker, ready};
use std::{mem, pin::Pin, sync::Arc, sync::OnceLock};

use futures_core::Stream;
use hashbrown::HashTable;
use http::Response;
use tokio::task::coop;

use super::cursors::{Cursors, Next, TopicCursor, TopicRead};
use super::flush_window::FlushWindow;
use super::own_ids::OwnIds;
use super::preamble::{GAPS_PER_ITEM, Preamble, encode_gaps};
use crate::event::Encoded;
use crate::history::{DeferredDrops, Position, UnknownId};
use crate::hub::GapReason;
use crate::hub::append::HubState;
use crate::hub::{changes::Changed, changes::Changes, topic::Topic};
use crate::signals::{NothingMore, StartAt, Viewer};
use crate::{body::EventBody, layer, wake::drop_waker};

/// A stream of events from one or more topics, in the order in which they were published.
///
/// Each item is one encoded event, or several consecutive events if the subscription is behind. A
/// subscription has no queue of its own: it reads the events that its topics keep. If events are
/// evicted before the subscription has read them, it sends a [gap](GapPolicy), unless a newer value
/// [replaces](crate::Retention::latest) them.
///
/// Subscribing to 1,000 topics blocks the thread for about 0.3 ms, and reading the first event
/// after a pause takes about 10 µs. With 100,000 topics, subscribing takes 30 to 110 ms, and
/// reading that first event 0.4 to 1 ms. Instead of subscribing one client to thousands of topics,
/// let a group of clients share a topic. [Own ids](super::Subscribe::own_ids) cost more.
///
/// Once all its topics have [ended](crate::hub::Hub::end), the stream sends their last events and
/// ends. When the hub is [closed](crate::hub::Hub::close), the stream ends after the events that
/// the hub received before the close. A stream without topics ends at once.
///
/// # Cancel safety
///
/// Dropping the stream unsubscribes it from its topics. Dropping a future that awaits the stream's
/// next item, such as `StreamExt::next`, loses no event.
// `repr(C)`: a quiet poll needs only the fields before `window`.
#[repr(C)]
pub struct Subscription {
    pub(crate) ended: bool,
    /// Whether the stream ends once the client's id is past all gaps or nothing is left to send.
    ends: bool,
    pub(crate) gap_policy: GapPolicy,
    /// Whether the client's last event id is treated as one of another hub.
    pub(crate) is_foreign: bool,
    /// [`UnknownId::Foreign`] if `is_foreign`, until the gaps for the unknown id have been sent.
    pub(crate) unknown_id: Option<UnknownId>,
    /// Whether a client whose stream ended at a gap receives the greeting when it reconnects.
    pub(crate) begins_anew: bool,
    pub(super) start: StartPolicy,
    /// Whether the data of a gap is plain text instead of JSON, for [`Messages`](super::Messages).
    pub(super) has_bare_gaps: bool,
    pub(crate) hub: Arc<HubState>,
    /// The count of the hub's changes at which the subscription had nothing to read and waited in
    /// all its topics. [`Changes::NONE`] until then, and again after its waker has changed.
    quiet_since: u64,
    pub(crate) waker: Option<Waker>,
    window: Option<Box<FlushWindow>>,
    pub(crate) preamble: Option<Box<Preamble>>,
    /// The sequence number up to which losses have been reported to the client or don't affect it.
    pub(crate) loss_seen: u64,
    pub(super) own_ids: Option<Box<OwnIds>>,
    pub(crate) cursors: Cursors,
}

/// The clients that receive positions besides the ids of events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StartPolicy {
    Off,
    /// No client at the start, because the client has an id.
    NotNeeded,
    /// No client at the start, because the first item has an id. A view can hide this item.
    FirstItem,
    /// Every client, or only an `EventSource` and a library.
    On {
        is_for_all: bool,
    },
}

pub(super) enum Read {
    /// There was nothing to read after these changes of the hub.
    Nothing(Changed),
    Item(Encoded),
    /// A loss that the broker reported. Its gaps are now in the preamble.
    Loss,
    /// There may be more to read, but the subscription has to yield to other tasks.
    Yield,
}

enum Wait {
    Started,
    NotNeeded,
    /// The subscription waits in some of its topics and has to yield to other tasks.
    Yield,
}

impl Subscription {
    pub(crate) fn new(
        hub: Arc<HubState>,
        gap_policy: GapPolicy,
        window: Option<Box<FlushWindow>>,
    ) -> Self {
        Self {
            hub,
            quiet_since: Changes::NONE,
            cursors: Cursors::default(),
            waker: None,
            window,
            gap_policy,
            unknown_id: None,
            is_foreign: false,
            preamble: None,
            loss_seen: 0,
            ended: false,
            ends: false,
            begins_anew: false,
            start: StartPolicy::NotNeeded,
            has_bare_gaps: false,
            own_ids: None,
        }
    }

    /// Joins each of these topics once. The caller must [seek](TopicCursor::seek) each cursor.
    pub(crate) fn join(&mut self, topics: &[String], keeps_all: bool) {
        let now = self.hub.now();
        let mut drops = DeferredDrops::default();
        let is_many = topics.len() > FEW;
        let mut joined = HashTable::with_capacity(if is_many { topics.len() } else { 0 });
        for name in topics {
            // Pushed one by one: if `retention_of` panics, dropping `self` unsubscribes from the
            // topics joined so far.
            let cursors = &self.cursors;
            let (topic, forgotten_end) = self.hub.change_topic(name, |topic, state| {
                let has_joined = if is_many {
                    joined.find(topic.hash, |(_, it)| *it == Arc::as_ptr(topic)).is_some()
                } else {
                    cursors.iter().any(|cursor| Arc::ptr_eq(cursor.topic(), topic))
                };
                if has_joined {
                    return None;
                }
                state.subscribers += 1;
                if keeps_all {
                    topic.keep_all(state);
                }
                state.log.trim(now, &mut drops);
                Some(state.forgotten_end(now))
            });
            if let Some(forgotten_end) = forgotten_end {
                if is_many {
                    let id = (topic.hash, Arc::as_ptr(&topic));
                    joined.insert_unique(topic.hash, id, |(hash, _)| *hash);
                }
                self.cursors.push(TopicCursor::new(topic, forgotten_end));
            }
        }
        self.cursors.shrink_to_fit();
    }

    #[cold]
    fn next_of_preamble(&mut self) -> Option<Encoded> {
        let preamble = self.preamble.as_mut()?;
        let (gaps_before, reason) = (preamble.next_gap, preamble.reason);
        let item = preamble.next(&self.cursors, self.has_bare_gaps);
        self.hub.count_gaps(reason, preamble.next_gap - gaps_before);
        if preamble.is_done(&self.cursors) {
            self.ended = preamble.ends;
            self.preamble = None;
        }
        item
    }

    /// Returns whether all topics have [ended](crate::hub::Hub::end) and the client has nothing
    /// left to receive. It's `false` without topics, and after the stream has ended.
    ///
    /// If you wrap a subscription in another stream, check this first. If it's `true`, return the
    /// subscription's own [`response`](Self::response) instead.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        if self.cursors.is_empty() || self.preamble.is_some() {
            return false;
        }
        self.unreported_loss().is_none() && self.have_topics_ended()
    }

    fn is_latest(&self) -> bool {
        !self.cursors.is_empty() && self.cursors.iter().all(|cursor| cursor.topic().is_latest())
    }

    #[inline]
    pub(super) fn have_topics_ended(&self) -> bool {
        self.cursors.iter().all(TopicCursor::has_ended)
    }

    fn leave(&mut self) {
        for cursor in mem::take(&mut self.cursors).iter() {
            let waker = self.hub.topics.change(cursor.topic(), |state| {
                state.subscribers = state.subscribers.saturating_sub(1);
                state.waiters.remove(cursor.ticket)
            });
            drop_waker(waker.flatten());
        }
    }
}

impl Subscription {
    /// Turns the subscription into a response, which your handler returns. With feature `axum`, a
    /// handler can return the subscription itself instead.
    ///
    /// If the subscription [has ended](Self::has_ended), the [layer](crate::SseLayer) answers an
    /// `EventSource` or a [library](crate::ClientKind::Library) with `204`, which tells it not to
    /// reconnect. Other clients receive a stream without events. It [stays
    /// open](crate::Refusal#answers-without-an-event) for a second, and for a `fetch` for 20
    /// seconds (or the wait of a [long poll](crate::StreamOptions::long_poll), if shorter), because
    /// some clients reconnect at once. A shutdown, the maximum age or
    /// [`Streams::close`](crate::streams::Streams::close) ends it earlier.
    ///
    /// If all topics keep only their [newest value](crate::Retention::latest), a client that
    /// stalled gets few old values: mainly those in the buffers of its connection. Behind a
    /// compressor, or behind a [filter](crate::filter) that changes, drops or inserts events, the
    /// client can get more old values. If the server doesn't write a value within 10 ms, or a
    /// compressor keeps it, a comment line follows.
    #[must_use]
    pub fn response(self) -> Response<EventBody<Self>> {
        respond(self, |it| it, None)
    }
}

/// Turns a stream of a subscription's events into a response. `seen_by` is set if the stream is a
/// [`View`](super::View).
pub(super) fn respond<S: Stream<Item = Encoded>>(
    stream: S,
    subscription: fn(&S) -> &Subscription,
    seen_by: Option<Arc<OnceLock<Viewer>>>,
) -> Response<EventBody<S>> {
    let it = subscription(&stream);
    let (has_ended, is_latest) = (it.has_ended(), it.is_latest());
    let (id, is_for_all) = match it.start {
        // A subscription without an id starts at the position from which it counts losses.
        StartPolicy::On { is_for_all } => (Some(it.hub.position(it.loss_seen)), Some(is_for_all)),
        // Until the preamble, with its gaps or greeting, is sent, there is no id: a client that
        // reconnected with the position behind the preamble would miss it.
        _ => (it.preamble.is_none().then(|| it.position_before_gaps()), None),
    };
    // If only the view sets ids, a heartbeat must not repeat an id of the hub.
    let has_other_ids = seen_by.is_some() && it.start == StartPolicy::Off && it.own_ids.is_none();
    let id = id.filter(|_| !has_other_ids);
    let id = id.map(|id| it.own_ids.as_ref().map_or(id.into(), |own| own.start_id(id)));
    let is_for_all = is_for_all.filter(|_| !has_ended);
    let mut response = layer::response(stream);
    let seen_by = seen_by.or_else(|| is_latest.then(Arc::default));
    response.extensions_mut().insert(StartAt { id, is_for_all, seen_by: seen_by.clone() });
    if has_ended {
        response.extensions_mut().insert(NothingMore::OfTopics);
    }
    match seen_by {
        Some(viewer) if is_latest => response.map(|body| body.with_newest_only(viewer)),
        _ => response,
    }
}

impl Stream for Subscription {
    type Item = Encoded;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Encoded>> {
        let this = self.get_mut();
        if this.is_quiet(cx.waker()) {
            return Poll::Pending;
        }
        if let Some(window) = &mut this.window {
            ready!(window.poll_elapsed(cx));
        }
        let unit = ready!(coop::poll_proceed(cx));
        while !this.ended && !this.cursors.is_empty() {
            // Loaded before reading, so that events published before the close are still sent.
            let is_closed = this.hub.is_closed();
            let changed = match this.read() {
                Read::Loss => continue,
                Read::Item(item) => {
                    if let Some(window) = &mut this.window {
                        window.has_sent = true;
                    }
                    unit.made_progress();
                    return Poll::Ready(Some(item));
                }
                Read::Yield => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Read::Nothing(changed) => changed,
            };
            if is_closed && !this.ends && !this.has_scanned(this.hub.committed()) {
                // The scan began before the last events were committed.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if is_closed || this.ends || this.have_topics_ended() {
                this.ended = true;
                continue;
            }
            match this.wait(cx.waker(), changed) {
                Wait::NotNeeded => {}
                Wait::Yield => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Wait::Started => {
                    if let Some(window) = &mut this.window {
                        window.start_delay();
                    }
                    return Poll::Pending;
                }
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

opaque_debug!(Subscription);

/// The number of topics up to which duplicates are found by searching the cursors.
const FEW: usize = 8;

/// The number of reads without a result after which a poll yields.
const READS_PER_POLL: usize = 64;

/// The number of topics in which a poll starts to wait before it yields. That takes under a
/// millisecond.
const WAITS_PER_POLL: usize = 4096;

impl Subscription {
    fn read(&mut self) -> Read {
        if self.preamble.is_some()
            && let Some(item) = self.next_of_preamble()
        {
            return Read::Item(item);
        }
        // After a gap that ends the stream, the number of the newest missed event.
        let last = if self.ends { self.newest_seen(u64::MAX) } else { u64::MAX };
        for _ in 0..READS_PER_POLL {
            // Each event that is committed after this load has a sequence number above `committed`.
            let committed = self.hub.committed();
            // Loaded after `committed`, so the count includes the changes up to that number.
            let changed = self.hub.changes.since(self.quiet_since);
            let (index, bound) = match self.unreported_loss() {
                // A later loss was recorded after `committed` was loaded. The next read finds it.
                Some(loss) if loss <= committed => match self.next_before(loss, committed) {
                    Ok(next) => next,
                    Err(read) => return read,
                },
                _ => match &mut self.cursors {
                    Cursors::One(cursor) if cursor.is_caught_up() => {
                        return Read::Nothing(changed);
                    }
                    Cursors::One(_) => (0, committed.saturating_add(1)),
                    several => match several.next(committed, changed) {
                        Next::Nothing => return Read::Nothing(changed),
                        Next::Yield => return Read::Yield,
                        Next::Cursor { index, bound, .. } => (index, bound),
                    },
                },
            };
            let Some(cursor) = self.cursors.get_mut(index) else {
                return Read::Nothing(changed);
            };
            let (item, next) = cursor.read(bound.min(last.saturating_add(1)), &self.hub.topics);
            self.requeue(index, next);
            match item {
                // All events that are older than the newest missed one have been sent.
                TopicRead::Nothing if bound > last && next.is_none_or(|next| next > last) => {
                    return Read::Nothing(changed);
                }
                // The topic's next item is not below `bound`.
                TopicRead::Nothing => {}
                TopicRead::Batch(batch) => {
                    self.cursors.set_sent(batch.last);
                    // Topics that keep only their newest value had no such gap.
                    self.unknown_id = None;
                    return Read::Item(Encoded::of(batch.bytes));
                }
                // Reported before the client's first visit. After an unknown id, the topic's first
                // gap includes it.
                TopicRead::Reported(sequence)
                    if sequence <= self.loss_seen && !self.is_unknown_and_latest(index) => {}
                TopicRead::Gap => return Read::Item(self.gaps(index, Some(committed))),
                TopicRead::Reported(_) => return Read::Item(self.gaps(index, None)),
            }
        }
        Read::Yield
    }

    #[inline]
    pub(crate) fn unreported_loss(&self) -> Option<u64> {
        self.hub.losses.first_after(self.loss_seen)
    }

    /// Returns the cursor with the next event or gap before a loss, and the cursor's bound. If
    /// there is no such cursor, begins to report the loss. While a scan is pending, returns
    /// `Yield`.
    #[cold]
    fn next_before(&mut self, loss: u64, committed: u64) -> Result<(usize, u64), Read> {
        match self.cursors.next(committed, Changed::ALL) {
            Next::Yield => Err(Read::Yield),
            Next::Cursor { index, first, bound } => {
                let next = self.cursors.get(index).and_then(TopicCursor::next);
                let first = next.map_or(first, |next| next.min(bound));
                if first < loss {
                    return Ok((index, bound.min(loss)));
                }
                self.requeue(index, Some(first));
                Err(self.begin_loss(loss, first))
            }
            Next::Nothing => match self.scanned_to(committed) {
                Some(to) if to >= loss => Err(self.begin_loss(loss, to.saturating_add(1))),
                _ => Err(Read::Yield),
            },
        }
    }

    /// Returns whether the client's id is foreign and the topic keeps only its newest value. Such a
    /// topic gets no gap before its value, so a gap after the value must be reported.
    fn is_unknown_and_latest(&self, index: usize) -> bool {
        let cursor = self.cursors.get(index);
        self.is_foreign && cursor.is_some_and(|cursor| cursor.topic().is_latest())
    }

    /// Returns whether all topics were scanned up to this number.
    fn has_scanned(&self, sequence: u64) -> bool {
        self.scanned_to(sequence) >= Some(sequence)
    }

    /// Returns the sequence number up to which no topic has anything to read, if it is known.
    fn scanned_to(&self, committed: u64) -> Option<u64> {
        match &self.cursors {
            Cursors::Many(_, Some(queue), _) => queue.scanned_to(),
            _ => Some(committed),
        }
    }

    #[inline]
    fn requeue(&mut self, index: usize, next: Option<u64>) {
        if let Some(next) = next
            && let Cursors::Many(cursors, Some(queue), _) = &mut self.cursors
        {
            queue.push(index, next, cursors);
        }
    }

    /// Returns whether nothing, not even the waker, has changed since the subscription began to
    /// wait in all topics.
    #[inline]
    fn is_quiet(&self, waker: &Waker) -> bool {
        self.quiet_since == self.hub.changes.count()
            && self.waker.as_ref().is_some_and(|own| own.will_wake(waker))
    }

    /// Starts to wait in all topics, which had nothing to read after these changes. If this
    /// takes several polls, the last poll checks the earlier topics again: their events may have
    /// woken only an earlier poll.
    fn wait(&mut self, waker: &Waker, mut changed: Changed) -> Wait {
        let is_other = self.waker.as_ref().is_some_and(|own| !own.will_wake(waker));
        if is_other || self.waker.is_none() {
            for cursor in self.cursors.iter_mut() {
                cursor.stop_waiting();
            }
            self.quiet_since = Changes::NONE;
            changed.topics = Changed::ALL.topics;
            drop_waker(self.waker.replace(waker.clone()));
        }
        let mut started = 0;
        for cursor in self.cursors.iter_mut() {
            if !changed.include(cursor.topic()) {
                continue;
            }
            if cursor.is_waiting() {
                if cursor.is_caught_up() {
                    continue;
                }
                return Wait::NotNeeded;
            }
            if !cursor.wait(waker) {
                return Wait::NotNeeded;
            }
            started += 1;
            // A task with a new waker at each poll starts over, so it must not yield here.
            if started == WAITS_PER_POLL && !is_other {
                return Wait::Yield;
            }
        }
        // A close or a loss wakes the waiters of all topics, but not a subscription that doesn't
        // wait yet.
        let has_loss = self.unreported_loss().is_some();
        if self.hub.is_closed() || has_loss {
            return Wait::NotNeeded;
        }
        self.quiet_since = changed.until;
        Wait::Started
    }
}

impl Subscription {
    /// Encodes the gap of the topic at `index`. For a gap for evicted events, `evicted` is the
    /// newest committed number, and the item has all such gaps, up to its limit.
    ///
    /// No gap's id is later than an event that is still to be sent, or than a missed event whose
    /// gap is still to be sent: another process may have what this process has evicted or lost.
    fn gaps(&mut self, index: usize, evicted: Option<u64>) -> Encoded {
        let (topics, left) = self.topics_with_gap(index, evicted);
        let before = self.position_before_gaps();
        let reason = match (evicted, self.unknown_id) {
            (None, _) => GapReason::Reported,
            (_, Some(_)) if self.own_ids.is_some() => GapReason::UnknownId,
            (_, Some(_)) => GapReason::OtherHub,
            (_, None) => GapReason::Evicted,
        };
        self.hub.count_gaps(reason, topics.len());
        if left == 0 {
            return encode_gaps(&topics, reason, before, before, self.has_bare_gaps);
        }
        let end = self.unreported_loss().map_or(left, |loss| loss.min(left));
        let last = self.newest_seen(end).max(self.cursors.sent());
        self.cursors.set_sent(last);
        // With a single topic, the gap covers all losses up to its id.
        self.loss_seen = self.loss_seen.max(last);
        self.unknown_id = None;
        self.ends = self.gap_policy == GapPolicy::ReportAndEnd;
        // With an id below the newest gap, the client would get this gap whenever it reconnects.
        self.ended = self.ends && (self.begins_anew || self.newest_seen(u64::MAX) <= last);
        let last = self.position_after_gaps(last);
        encode_gaps(&topics, reason, before, last, self.has_bare_gaps)
    }

    /// Returns the newest number below `end` that was sent in any topic, or reported as evicted.
    fn newest_seen(&self, end: u64) -> u64 {
        let seen = self.cursors.iter().map(TopicCursor::seen);
        seen.filter(|seen| *seen < end).max().unwrap_or_default()
    }

    /// Returns the id of all gaps but the last. A client that reconnects with this id gets all gaps
    /// again, but no event twice. After an unknown id and before the first event, this is an id
    /// that this hub treats like the client's.
    fn position_before_gaps(&self) -> Position {
        match (self.unknown_id, self.cursors.sent()) {
            (Some(unknown_id), 0) => unknown_id.position(),
            (_, sent) => self.hub.position(sent),
        }
    }

    fn position_after_gaps(&self, sequence: u64) -> Position {
        if self.gap_policy == GapPolicy::ReportAndEnd && self.begins_anew {
            return UnknownId::Malformed.position();
        }
        self.hub.position(sequence)
    }

    /// Consumes the gaps for evicted events, up to the limit of one item. Returns the topic of the
    /// cursor `first`, then the topics of these gaps. Also returns the number before which nothing
    /// is left: 0 if more gaps are due.
    fn topics_with_gap(&mut self, first: usize, evicted: Option<u64>) -> (Vec<Arc<Topic>>, u64) {
        let topic = |cursor: &TopicCursor| Arc::clone(cursor.topic());
        let mut topics: Vec<_> = self.cursors.get(first).map(topic).into_iter().collect();
        let Cursors::Many(cursors, Some(queue), _) = &mut self.cursors else {
            for (index, cursor) in self.cursors.iter_mut().enumerate() {
                // The first topic may have evicted more meanwhile, but is in the list already.
                if cursor.take_gap().0 && index != first {
                    topics.push(topic(cursor));
                }
            }
            let left = self.cursors.iter().filter_map(TopicCursor::next).min();
            return (topics, left.unwrap_or(u64::MAX));
        };
        // A reported gap needs no scan: it is read in the order of the events, so nothing before it
        // is left.
        if let Some(committed) = evicted {
            queue.rescan(committed, cursors);
        }
        while topics.len() < GAPS_PER_ITEM
            && let Some((_, index)) = queue.pop_up_to(0, cursors)
            && let Some(cursor) = cursors.get_mut(index)
        {
            let (is_due, next) = cursor.take_gap();
            if is_due && index != first {
                topics.push(topic(cursor));
            }
            if let Some(next) = next {
                queue.push(index, next, cursors);
            }
        }
        (topics, queue.left())
    }

    /// Starts to send the gaps of a loss that the broker has reported. The caller has read all
    /// events before the loss, and no remaining event or gap is below `end`.
    fn begin_loss(&mut self, loss: u64, end: u64) -> Read {
        // Losses with nothing between them are reported as one.
        let loss = self.hub.losses.last_before(end).map_or(loss, |last| last.max(loss));
        let before = self.position_before_gaps();
        self.loss_seen = loss;
        self.cursors.set_sent(loss);
        for cursor in self.cursors.iter_mut() {
            // The loss's gap replaces any gap that is due.
            cursor.seek(cursor.seen().max(loss), false);
        }
        self.unknown_id = None;
        self.preamble = Some(Box::new(Preamble {
            before,
            last: self.position_after_gaps(loss),
            next_gap: 0,
            greeting: None,
            ends: self.gap_policy == GapPolicy::ReportAndEnd,
            reason: GapReason::Lost,
        }));
        Read::Loss
    }
}

/// What a subscription does if its client may have missed events. That happens if events were
/// evicted, if a [broker](crate::hub::Hub::connect) lost events, if the hub doesn't know the
/// client's id, or if the program [reports a gap](crate::hub::Hub::gap).
///
/// A gap is an event with the name `gap`. Its data is a JSON object with the topic's name and the
/// [reason](crate::hub::GapReason), such as `{"topic":"news","reason":"evicted"}`. Its id is a
/// position to resume from. One outage can cause several gaps in a row.
///
/// Clients must listen for this name, or they don't notice the loss: a page with
/// `addEventListener("gap", …)`, and Go's go-sse with `SubscribeToAll`, which gets all events.
///
/// Gaps for evicted events usually come before all other events that the client is due to receive.
/// If a broker loses events, a connected client first receives the events from before the loss and
/// then a gap for each topic.
///
/// Several gaps are sent one after another, followed by the [greeting](super::Subscribe::greeting),
/// if it's due. A client that disconnects before the last of these events receives all of them
/// again. A client of several topics can get a gap again if it disconnects before it receives an
/// event newer than the missed events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapPolicy {
    /// Reports the gap and continues. The client can then load the current state.
    #[default]
    Report,
    /// Reports the gap and ends the stream. An `EventSource` reconnects after the time of
    /// [`SseLayer::retry`](crate::SseLayer::retry). Before the end, a stream of several topics can
    /// have events that are older than the newest missed event, but none that are newer. After such
    /// events, a client that reconnects receives one more gap.
    ///
    /// With [`since`](super::Subscribe::since), gaps for events from before its position don't end
    /// the stream. If a topic evicts events faster than its clients reconnect, those clients
    /// receive mostly gaps.
    ReportAndEnd,
}
