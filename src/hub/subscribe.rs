use std::{fmt, sync::Arc, time::Duration};

use super::{
    GapPolicy, Subscription,
    cursor::TopicCursor,
    flush_window::FlushWindow,
    hub::Shared,
    opening::Opening,
    position::{ResumeFrom, Unknown},
};
use crate::{
    connection::LastEventId,
    event::{Encoded, Event, EventId},
};

/// A subscription before it begins: [`resume`](Self::resume) says where.
#[must_use = "a subscription begins with `resume`"]
pub struct Subscribe {
    hub: Arc<Shared>,
    topics: Vec<String>,
    recent: usize,
    gap_policy: GapPolicy,
    window: Duration,
    greeting: Option<Event>,
}

impl Subscribe {
    pub(super) fn new<T>(hub: Arc<Shared>, topics: T) -> Self
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
        }
    }

    /// A first visit begins with the newest so many events that are kept, over all its topics. Zero
    /// by default: with what is published from now on.
    pub fn recent(mut self, events: usize) -> Self {
        self.recent = events;
        self
    }

    /// What happens when events were lost that the client has not seen: by default it is
    /// [told](GapPolicy::Report).
    pub fn gap_policy(mut self, gap_policy: GapPolicy) -> Self {
        self.gap_policy = gap_policy;
        self
    }

    /// After events were given, the next are only given when so much time has passed, all that have
    /// come meanwhile in one go: for topics with many small events, where a write for each is more
    /// than their delay is worth. The first after a pause is given at once. Off by default, and
    /// zero is off.
    ///
    /// That the hub was [closed](super::Hub::close) is told when the window opens, too.
    ///
    /// It needs a tokio runtime with a timer. Where there is no runtime, there is no window, which
    /// is told by a log line at WARN (feature `tracing`).
    ///
    /// # Panics
    ///
    /// When it is polled in a runtime without timers.
    pub fn flush_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Begins a first visit with this event. Its id is the place where the stream begins; one that
    /// the event has is replaced. A client whose id no hub gave out is given it after the gaps of
    /// its topics, unless these [end](GapPolicy::ReportAndEnd) the stream.
    ///
    /// A client that leaves before it has got anything has no id to come back with. It is then at a
    /// first visit again, and misses what was published meanwhile, without a gap. Where topics are
    /// quiet for long, as those of single clients are, a greeting mends that. So does
    /// [`recent`](Self::recent), or a [`position`](super::Hub::position) that the page was rendered
    /// with.
    ///
    /// ```
    /// # use tower_sse::{Event, LastEventId, hub::{Hub, Subscription}};
    /// # fn events(hub: &Hub, last: Option<LastEventId>) -> Subscription {
    /// hub.subscribe(["client:42"]).greeting(Event::new().event("connected").data("")).resume(last)
    /// # }
    /// ```
    pub fn greeting(mut self, event: Event) -> Self {
        self.greeting = Some(event);
        self
    }

    /// Begins, after what a client has seen last:
    ///
    /// | last event id | begins with |
    /// |---|---|
    /// | none, or empty | what is published from this call on, or the [`recent`](Self::recent) ones |
    /// | one of this hub | all that came after it; a gap for every topic that has lost some of it |
    /// | one of another hub, such as the one before a restart | all that is kept, as the client can have seen none of it; before its first event, every topic has a gap |
    /// | anything else | a gap for every topic, then as a first visit, with the [greeting](Self::greeting) |
    ///
    /// After an id of another hub, a topic that has lost nothing has its gap before all events. A
    /// topic that has lost events of its own has its gap where the last of them was, so events of
    /// other topics can come before it: only such an id neither repeats the gap nor skips an event
    /// if the client reconnects after it.
    ///
    /// A client that leaves while it is given [`recent`](Self::recent) events of several topics may
    /// be told a gap when it comes back, although nothing is missing: its id is then older than
    /// events that another topic had lost before the first visit. That takes a topic that keeps
    /// fewer than the recent events and has lost some.
    ///
    /// A subscription without topics ends at once.
    pub fn resume(self, last: impl Into<Option<LastEventId>>) -> Subscription {
        let Self { hub, topics, recent, gap_policy, window, greeting } = self;
        let mut subscription =
            Subscription::new(Arc::clone(&hub), gap_policy, FlushWindow::new(window));
        subscription.enter(&topics);
        let newest = hub.committed();
        let last = last.into();
        let said = ResumeFrom::by(last.as_ref(), hub.epoch, newest);
        let seen = match said {
            ResumeFrom::Seen(seen) => seen,
            ResumeFrom::Unknown(Unknown::Foreign) => 0,
            ResumeFrom::Nothing | ResumeFrom::Unknown(Unknown::Malformed) => {
                before_recent(&subscription.places, recent, newest)
            }
        };
        for place in &mut subscription.places {
            // At a first visit it has missed nothing of what was gone when it came.
            let at_first = || seen.max(place.lost_to().min(newest));
            match said {
                ResumeFrom::Seen(_) => place.begin(seen, false),
                ResumeFrom::Unknown(Unknown::Foreign) => place.begin(seen, true),
                ResumeFrom::Nothing | ResumeFrom::Unknown(Unknown::Malformed) => {
                    place.begin(at_first(), false);
                }
            }
        }
        let is_garbage = said == ResumeFrom::Unknown(Unknown::Malformed);
        if said == ResumeFrom::Unknown(Unknown::Foreign) {
            subscription.unknown = Some(Unknown::Foreign);
        } else if said == ResumeFrom::Nothing || is_garbage {
            let begin = hub.position(seen);
            let has_gaps = is_garbage && gap_policy != GapPolicy::Ignore;
            let greeting = greeting.map(|event| Encoded::from(event.id(EventId::from(begin))));
            if has_gaps || greeting.is_some() {
                subscription.opening = Some(Box::new(Opening {
                    again: Unknown::Malformed.position(),
                    begin,
                    gaps_from: if has_gaps { 0 } else { subscription.places.len() },
                    greeting,
                    ends: has_gaps && gap_policy == GapPolicy::ReportAndEnd,
                }));
            }
        }
        subscription
    }
}

/// The place before the newest `count` events of all topics together.
fn before_recent(places: &[TopicCursor], count: usize, newest: u64) -> u64 {
    if count == 0 {
        return newest;
    }
    let mut recent: Vec<u64> = Vec::new();
    for place in places {
        recent.extend(place.topic().lock().log.recent(count, newest));
    }
    recent.sort_unstable_by(|one, other| other.cmp(one));
    match recent.get(count - 1).or(recent.last()) {
        Some(oldest) => oldest - 1,
        None => newest,
    }
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
