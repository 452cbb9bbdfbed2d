use std::{
    collections::HashSet,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures_core::Stream;
use tokio::task::coop;

use super::{
    GapPolicy, cursor::TopicCursor, cursors::Cursors, flush_window::FlushWindow, preamble::Preamble,
};
use crate::{
    event::Encoded,
    history::{DeferredDrops, UnknownId, drop_waker},
    hub::state::HubState,
};

/// A stream of the events of one or more topics, in the order of publication.
///
/// A handler returns its [`response`](Self::response).
///
/// Each item is one encoded event, or several consecutive ones if the subscription is behind.
/// Subscriptions at the same position share the bytes.
///
/// A subscription has no queue: it reads the events that its topics keep. A slow client therefore
/// delays no other, and receives a [gap](GapPolicy) if events were evicted before it read them.
/// Like tokio's channels, a subscription takes part in cooperative scheduling.
///
/// The costs grow with the number of topics. They were measured on a server processor:
///
/// | topics | 100 | 1,000 | 5,000 | 100,000 |
/// |---|---|---|---|---|
/// | an event after a pause | 0.8 µs | 6 µs | 30 µs | 0.2 ms |
/// | an item of a backlog | 0.2 µs | 0.2 to 1.2 µs | 0.5 µs | 7 to 9 µs |
/// | to subscribe | 30 µs | 0.3 ms | 6 ms | 160 to 180 ms |
/// | to drop | 5 µs | 0.1 ms | 1 ms | 70 to 95 ms |
///
/// The first event after a pause makes the subscription scan all its topics. A poll yields to other
/// tasks after 4,096 topics. Subscribing, dropping, and the first poll after a move to another task
/// do not yield. Use one topic for a group of clients rather than thousands of topics for one
/// client.
///
/// The stream ends when all its topics have [ended](crate::hub::Hub::end), after their last events.
/// It also ends when the hub is [closed](crate::hub::Hub::close), after the events that were
/// published before. A stream without topics ends at once. Dropping the stream removes it from its
/// topics.
pub struct Subscription {
    pub(crate) hub: Arc<HubState>,
    pub(crate) cursors: Cursors,
    /// The waker that the cursors wait with.
    pub(crate) waker: Option<Waker>,
    window: Option<Box<FlushWindow>>,
    pub(crate) gap_policy: GapPolicy,
    /// The kind of the client's last event id, if it is one of another hub. `None` once all gaps
    /// have been sent.
    pub(crate) unknown_id: Option<UnknownId>,
    pub(crate) preamble: Option<Box<Preamble>>,
    /// The sequence number up to which losses have been reported to the client or do not affect it.
    pub(crate) loss_seen: u64,
    pub(crate) ended: bool,
    /// Whether a client whose stream has ended at a gap receives the greeting when it reconnects.
    pub(crate) begins_anew: bool,
}

/// The result of reading from the topics of a subscription.
pub(super) enum Read {
    Nothing,
    Item(Encoded),
    /// A loss that the broker reported. Its gaps are now the subscription's preamble, unless gaps
    /// are ignored.
    Loss,
    /// There may be more to read, but the subscription has to yield to other tasks.
    Yield,
}

/// The outcome of an attempt to wait.
pub(super) enum Wait {
    /// The next event of any topic wakes the subscription.
    Started,
    /// There is something to read.
    NotNeeded,
    /// The subscription waits in some of its topics, and has to yield to other tasks.
    Yield,
}

impl Subscription {
    /// Returns a subscription without topics.
    pub(crate) fn new(
        hub: Arc<HubState>,
        gap_policy: GapPolicy,
        window: Option<Box<FlushWindow>>,
    ) -> Self {
        Self {
            hub,
            cursors: Cursors::default(),
            waker: None,
            window,
            gap_policy,
            unknown_id: None,
            preamble: None,
            loss_seen: 0,
            ended: false,
            begins_anew: false,
        }
    }

    /// Joins each of these topics once. The caller must [seek](TopicCursor::seek) each cursor.
    pub(crate) fn join(&mut self, topics: &[String], keeps_all: bool) {
        let now = self.hub.now();
        let mut drops = DeferredDrops::default();
        let mut joined = HashSet::new();
        for name in topics {
            // Pushed one by one, so that dropping `self` leaves the joined topics if `retention_of`
            // panics.
            let cursor = self.hub.change_topic(name, |topic, state| {
                if topics.len() > 1 && !joined.insert(Arc::as_ptr(topic)) {
                    return None;
                }
                state.subscribers += 1;
                if keeps_all {
                    topic.keep_all(state);
                }
                state.log.trim(now, &mut drops);
                Some(TopicCursor::new(Arc::clone(topic), state.forgotten_end(now)))
            });
            if let Some(cursor) = cursor {
                self.cursors.push(cursor);
            }
        }
        self.cursors.shrink_to_fit();
    }

    /// Returns the next item of the preamble.
    #[cold]
    pub(crate) fn next_of_preamble(&mut self) -> Option<Encoded> {
        let preamble = self.preamble.as_mut()?;
        let gaps_before = preamble.next_gap;
        let item = preamble.next(&self.cursors);
        self.hub.count_gaps(preamble.next_gap - gaps_before);
        if preamble.is_done(&self.cursors) {
            self.ended = preamble.ends;
            self.preamble = None;
        }
        item
    }

    /// Returns whether all topics have [ended](crate::hub::Hub::end), and the client has received
    /// everything. It is `false` for a subscription without topics.
    ///
    /// For what is built around a subscription, ask first, and answer with
    /// [`response`](Self::response) if it has ended:
    ///
    /// ```
    /// use axum::{extract::State, response::{IntoResponse, Response}};
    /// use futures_util::StreamExt;
    /// use tower_sse::{LastEventId, hub::Hub};
    ///
    /// async fn headlines(State(hub): State<Hub>, last: Option<LastEventId>) -> Response {
    ///     let news = hub.subscribe_to("news").resume(last);
    ///     if news.has_ended() {
    ///         return news.response().into_response();
    ///     }
    ///     tower_sse::response(news.take(100)).into_response()
    /// }
    /// # _ = headlines;
    /// ```
    #[must_use]
    pub fn has_ended(&self) -> bool {
        if self.cursors.is_empty() || self.preamble.is_some() {
            return false;
        }
        if self.gap_policy == GapPolicy::Ignore {
            return self.cursors.iter().all(TopicCursor::has_only_gaps_left);
        }
        self.unreported_loss().is_none() && self.have_topics_ended()
    }

    /// Returns whether each event replaces the one before it in all topics.
    pub(super) fn is_latest(&self) -> bool {
        !self.cursors.is_empty() && self.cursors.iter().all(|cursor| cursor.topic().is_latest())
    }

    /// Returns whether all topics have ended and nothing of them is left to read.
    #[inline]
    fn have_topics_ended(&self) -> bool {
        self.cursors.iter().all(TopicCursor::has_ended)
    }

    /// Leaves all topics.
    fn leave(&mut self) {
        for cursor in mem::take(&mut self.cursors).iter_mut() {
            cursor.stop_waiting();
            self.hub.topics.change(cursor.topic(), |state| {
                state.subscribers = state.subscribers.saturating_sub(1);
            });
        }
    }
}

impl Stream for Subscription {
    type Item = Encoded;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Encoded>> {
        let this = self.get_mut();
        if let Some(window) = &mut this.window {
            ready!(window.poll_elapsed(cx));
        }
        let unit = ready!(coop::poll_proceed(cx));
        while !this.ended && !this.cursors.is_empty() {
            // Loaded before reading, so that events published before the close are still sent.
            let is_closed = this.hub.is_closed();
            match this.read() {
                // The gaps of a loss are now the preamble, unless gaps are ignored.
                Read::Loss => continue,
                Read::Item(item) => {
                    if let Some(window) = &mut this.window {
                        window.record_item();
                    }
                    unit.made_progress();
                    return Poll::Ready(Some(item));
                }
                Read::Yield => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Read::Nothing => {}
            }
            if is_closed || this.have_topics_ended() {
                this.ended = true;
                continue;
            }
            match this.wait(cx.waker()) {
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
