use std::{sync::Arc, time::Duration};

use super::{GapPolicy, TopicNames};
use crate::{
    event::{Event, EventId},
    hub::state::HubState,
};

/// The options of a subscription. [`resume`](Self::resume) starts it.
#[must_use = "call `resume` to start the subscription"]
pub struct Subscribe {
    pub(super) hub: Arc<HubState>,
    pub(super) topics: Vec<String>,
    pub(super) since: Option<EventId>,
    pub(super) recent: usize,
    pub(super) gap_policy: GapPolicy,
    pub(super) window: Duration,
    pub(super) greeting: Option<Event>,
    pub(super) keeps_all: bool,
}

impl Subscribe {
    pub(crate) fn new<T>(hub: Arc<HubState>, topics: T) -> Self
    where
        T: TopicNames,
    {
        Self {
            hub,
            topics: topics.into_iter().map(|topic| topic.as_ref().to_owned()).collect(),
            since: None,
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

    /// Starts the stream of a client on its first visit after this position, instead of at the time of
    /// the call of [`resume`](Self::resume). [`recent`](Self::recent) has no effect then.
    ///
    /// It is for a stream that begins with state from a database. Take the
    /// [`position`](crate::hub::Hub::position) first, then query, and send the result as the greeting:
    ///
    /// ```
    /// # use tower_sse::{Event, LastEventId, hub::{GapPolicy, Hub, Subscription}};
    /// # struct Database;
    /// # impl Database { async fn notes(&self) -> String { String::new() } }
    /// # async fn notes(hub: &Hub, database: &Database, last: Option<LastEventId>) -> Subscription {
    /// let position = hub.position(); // before the query
    /// let backlog = Event::new().event("backlog").data(database.notes().await);
    /// let notes = hub.subscribe_to("notes").gap_policy(GapPolicy::ReportAndEnd);
    /// notes.since(position).greeting(backlog).resume(last)
    /// # }
    /// ```
    ///
    /// - The client misses nothing that is committed before it is published. What is committed between
    ///   the two calls comes twice: the client drops it by the number of its row.
    /// - A client that comes back and may have missed events receives a gap for each topic, then the
    ///   greeting, and then what is published after the position.
    /// - A client that falls behind while it is connected receives a gap. With
    ///   [`GapPolicy::ReportAndEnd`], its stream ends then, and it receives the greeting when it
    ///   reconnects.
    pub fn since(mut self, position: EventId) -> Self {
        self.since = Some(position);
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
    /// # Panics
    ///
    /// The subscription panics if it is polled outside of a tokio runtime with timers.
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
    /// State from a database needs [`since`](Self::since) too: events that are published between the
    /// query and [`resume`](Self::resume) are lost otherwise.
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
}

opaque_debug!(Subscribe);
