use std::{fmt, sync::Arc, time::Duration};

use super::{
    GapPolicy, Subscription, cursor::TopicCursor, flush_window::FlushWindow, preamble::Preamble,
};
use crate::{
    connection::LastEventId,
    event::{Encoded, Event, EventId},
    history::{ResumeFrom, UnknownId},
    hub::state::HubState,
};

/// The options of a subscription. [`resume`](Self::resume) starts it.
#[must_use = "call `resume` to start the subscription"]
pub struct Subscribe {
    hub: Arc<HubState>,
    topics: Vec<String>,
    recent: usize,
    gap_policy: GapPolicy,
    window: Duration,
    greeting: Option<Event>,
    keeps_all: bool,
}

impl Subscribe {
    pub(crate) fn new<T>(hub: Arc<HubState>, topics: T) -> Self
    where
        T: IntoIterator<Item: AsRef<str>>,
    {
        Self {
            hub,
            topics: topics.into_iter().map(|topic| topic.as_ref().to_owned()).collect(),
            recent: 0,
            gap_policy: GapPolicy::default(),
            window: Duration::ZERO,
            greeting: None,
            keeps_all: false,
        }
    }

    /// Makes the topics keep at least what [`Retention::new`](crate::hub::Retention::new) says from
    /// the subscription on, and let no event replace another.
    pub(crate) const fn keep_all(mut self) -> Self {
        self.keeps_all = true;
        self
    }

    /// Sends the newest `events` events, counted over all topics, to a client on its first visit.
    /// The default is zero: the client receives only events that are published later.
    ///
    /// The newest events of topics with [`Retention::latest`](crate::hub::Retention::latest) are
    /// always sent, and do not count.
    pub fn recent(mut self, events: usize) -> Self {
        self.recent = events;
        self
    }

    /// Sets the action when the client may have missed events. The default is to
    /// [report](GapPolicy::Report) the gap.
    pub fn gap_policy(mut self, gap_policy: GapPolicy) -> Self {
        self.gap_policy = gap_policy;
        self
    }

    /// Collects the events of each `window` and sends them together. The default is zero, which
    /// turns this off.
    ///
    /// Use it for topics with many small events, to save writes. The first event after a pause is
    /// sent at once, and opens a window in which further events wait. A greeting and gaps are events.
    /// The end of the stream after a [close](crate::hub::Hub::close) waits as well.
    ///
    /// Waiting events are in their topic, not in the subscription. With
    /// [`Retention::latest`](crate::hub::Retention::latest), the client receives one event of each
    /// topic for each window.
    ///
    /// This needs a tokio runtime with timers. Outside of a runtime, the window has no effect, and
    /// a WARN line is logged (feature `tracing`).
    ///
    /// # Panics
    ///
    /// The subscription panics if it is polled in a runtime without timers.
    pub fn flush_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sends this event to a client on its first visit, before any other event, and so before the
    /// [`recent`](Self::recent) ones.
    ///
    /// The hub sets its id to the position at which the stream starts, replacing any id of the
    /// event. A client with a malformed id receives it after the gaps of its topics, unless the
    /// gaps [end](GapPolicy::ReportAndEnd) the stream.
    ///
    /// Without a greeting, a client that disconnects before its first event has no id to reconnect
    /// with. It misses the events that are published meanwhile, and receives no gap. This matters
    /// for topics with few events, such as those of single clients. [`recent`](Self::recent)
    /// events, or a [`position`](crate::hub::Hub::position) rendered into the page, also give the client
    /// an id.
    ///
    /// ```
    /// # use tower_sse::{Event, LastEventId, hub::{Hub, Subscription}};
    /// # fn events(hub: &Hub, last: Option<LastEventId>) -> Subscription {
    /// hub.subscribe(["client:42"]).greeting(Event::new().event("connected").data("")).resume(last)
    /// # }
    /// ```
    pub fn greeting(mut self, event: impl Into<Event>) -> Self {
        self.greeting = Some(event.into());
        self
    }

    /// Starts the subscription after the last event that the client has seen.
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
    pub fn resume(self, last: impl Into<Option<LastEventId>>) -> Subscription {
        let Self { hub, topics, recent, gap_policy, window, greeting, keeps_all } = self;
        let mut subscription =
            Subscription::new(Arc::clone(&hub), gap_policy, FlushWindow::new(window));
        // Loaded before joining, so that a subscription that a publisher counts receives its event.
        let newest = hub.committed();
        subscription.join(&topics, keeps_all);
        let last = last.into();
        // After an id of this hub, all later losses are reported. Otherwise, only losses after the
        // start: a client without an id has missed nothing, and after an unknown id each topic has
        // a gap anyway.
        subscription.loss_seen = newest;
        match ResumeFrom::parse(last.as_ref(), hub.epoch, hub.newest_possible()) {
            ResumeFrom::Seen(seen) => {
                subscription.loss_seen = seen;
                subscription.cursors.iter_mut().for_each(|cursor| cursor.seek_after(seen));
            }
            ResumeFrom::Unknown(UnknownId::Foreign) => {
                subscription.unknown_id = Some(UnknownId::Foreign);
                subscription.cursors.iter_mut().for_each(TopicCursor::seek_foreign);
            }
            first @ (ResumeFrom::FirstVisit | ResumeFrom::Unknown(UnknownId::Malformed)) => {
                let recent_from = before_recent(&subscription.cursors, recent, newest);
                for cursor in subscription.cursors.iter_mut() {
                    cursor.seek_first_visit(recent_from, newest);
                }
                let has_gaps = first != ResumeFrom::FirstVisit && gap_policy != GapPolicy::Ignore;
                if has_gaps || greeting.is_some() {
                    let start = hub.position(before_latest(&subscription.cursors, recent_from));
                    let greeting =
                        greeting.map(|event| Encoded::from(event.id(EventId::from(start))));
                    subscription.preamble = Some(Box::new(Preamble {
                        before: UnknownId::Malformed.position(),
                        last: start,
                        next_gap: if has_gaps { 0 } else { subscription.cursors.len() },
                        greeting,
                        ends: has_gaps && gap_policy == GapPolicy::ReportAndEnd,
                    }));
                }
            }
        }
        subscription
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

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("topics", &self.topics)
            .field("recent", &self.recent)
            .field("gap_policy", &self.gap_policy)
            .field("flush_window", &self.window)
            .finish_non_exhaustive()
    }
}
