use std::{sync::Arc, time::Duration};

use http::Response;

use super::own_ids::OwnIds;
use super::preamble::{Preamble, reason_of};
use super::subscription::StartPolicy;
use super::{GapPolicy, Subscription, cursors::TopicCursor, flush_window::FlushWindow};
use crate::decode::{Message, MessageId};
use crate::event::{Encoded, Event, EventId};
use crate::history::{Position, ResumeFrom, UnknownId};
use crate::{body::EventBody, connection::LastEventId, hub::append::HubState, layer::IntoSse};

/// The options of a subscription. [`resume`](Self::resume) starts the subscription.
#[must_use = "call `resume` to start the subscription"]
pub struct Subscribe {
    pub(super) hub: Arc<HubState>,
    pub(super) topics: Vec<String>,
    pub(super) since: Option<EventId>,
    pub(super) recent: usize,
    is_recent_of_each: bool,
    pub(super) gap_policy: GapPolicy,
    pub(super) window: Duration,
    pub(super) greeting: Option<Event>,
    pub(super) keeps_all: bool,
    own_ids: Option<Box<OwnIds>>,
    start: StartPolicy,
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
            is_recent_of_each: false,
            gap_policy: GapPolicy::default(),
            window: Duration::ZERO,
            greeting: None,
            keeps_all: false,
            own_ids: None,
            start: StartPolicy::On { is_for_all: false },
        }
    }

    pub(crate) const fn keep_all(mut self) -> Self {
        self.keeps_all = true;
        self
    }

    /// Sets the position after which the stream starts on a client's first visit. The default is
    /// the hub's position when [`resume`](Self::resume) is called.
    ///
    /// Use this for a stream that begins with [state from a
    /// database](crate::hub#state-in-a-database): take the [`position`](crate::hub::Hub::position)
    /// first, then query, and send the result as the [greeting](Self::greeting). Commit each change
    /// before you publish it, and don't query a replica that lags behind. Otherwise, the client can
    /// miss a change.
    ///
    /// With this option, [`recent`](Self::recent) has no effect. A first visit gets a
    /// [latest](crate::Retention::latest) event only if it's newer than `position`.
    ///
    /// A client that reconnects receives the events that it missed. If some of them may be lost,
    /// the client receives a gap for each topic, the greeting, and then the events after
    /// `position`. A connected client that misses events receives a gap. With
    /// [`GapPolicy::ReportAndEnd`], that gap ends its stream. When the client reconnects, it gets a
    /// gap for each topic and then the greeting.
    pub fn since(mut self, position: EventId) -> Self {
        self.since = Some(position);
        self
    }

    /// Sends up to `events` recent events on a client's first visit: the newest across all topics,
    /// so a busy topic can leave no room for the events of a quiet one. For a number in each topic,
    /// use [`recent_of_each`](Self::recent_of_each). The default is zero. The hub has only the
    /// events within its [`retention`](crate::hub::HubBuilder::retention), by default none older
    /// than 5 minutes. The newest event of a topic with
    /// [`Retention::latest`](crate::Retention::latest) is also sent, and doesn't count towards
    /// `events`. If nothing newer has been sent when the client reconnects, it gets all events
    /// since that value, or a gap.
    pub fn recent(mut self, events: usize) -> Self {
        (self.recent, self.is_recent_of_each) = (events, false);
        self
    }

    /// Does the same as [`recent`](Self::recent), but sends up to `events` recent events of each
    /// topic. A client that disconnects before it has received them can get more than `events` of a
    /// topic when it reconnects.
    pub fn recent_of_each(mut self, events: usize) -> Self {
        (self.recent, self.is_recent_of_each) = (events, true);
        self
    }

    /// Sets what the subscription does if the client may have missed events. By default, it
    /// [reports](GapPolicy::Report) a gap.
    pub fn gap_policy(mut self, gap_policy: GapPolicy) -> Self {
        self.gap_policy = gap_policy;
        self
    }

    /// Sends new events together, at most once per `window`. The first event after a pause is sent
    /// at once and opens a window. The default is zero, which holds nothing back.
    ///
    /// A topic with [`Retention::latest`](crate::Retention::latest) sends only the newest event of
    /// a window. In other topics, a window saves writes if there are many small events: start with
    /// 20 ms. If a limit evicts held events of one of these topics, the client receives a
    /// [gap](GapPolicy).
    ///
    /// # Panics
    ///
    /// Poll the subscription in a tokio runtime with timers enabled. Otherwise, polling it during a
    /// window panics.
    pub fn flush_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sends this event to a client on its first visit, before all events of its topics. The
    /// greeting replaces the [`start`](Self::start_event) event.
    ///
    /// The hub sets the id of `event` to the position at which the stream starts. If `event` has a
    /// name but no data, it is sent with an empty `data` line, because clients ignore events
    /// without one. An event with neither isn't sent.
    ///
    /// If the greeting is state from a database, call [`since`](Self::since) too. With `since`, a
    /// client that reconnects receives the greeting again if it may have lost events.
    #[doc(alias = "welcome")]
    pub fn greeting(mut self, event: impl Into<Event>) -> Self {
        self.greeting = event.into().dispatched();
        self
    }

    /// Sets whether a client on its first visit receives an event named `start`, before all others.
    /// By default, only an `EventSource` and a [library](crate::ClientKind::Library) receive it.
    /// With `true`, every client receives it. With `false`, none does.
    ///
    /// The data is `{}`, and the id is the position at which the stream starts. If the client
    /// disconnects before any other event, it reconnects with this id and receives what it missed.
    /// Turn the event on for `fetch` clients that send `Last-Event-ID` when they reconnect.
    ///
    /// - The event is left out if something else with an id comes first, such as the
    ///   [greeting](Self::greeting), a gap, or a [`recent`](Self::recent) or
    ///   [latest](crate::Retention::latest) event. A view that hides it sends its position at once.
    /// - The layer adds the event to the subscription's own [`response`](Subscription::response).
    ///   If you wrap the subscription in another stream, send a greeting instead.
    /// - A [view](Subscription::view) sends an `EventSource` or a library later positions under
    ///   this name, unless you turn the event off.
    /// - If you publish your own events named `start`, give them other data, so that clients can
    ///   tell them from the hub's.
    pub fn start_event(mut self, is_sent: bool) -> Self {
        let on = StartPolicy::On { is_for_all: true };
        self.start = if is_sent { on } else { StartPolicy::Off };
        self
    }

    /// Makes a [view](Subscription::view) send [ids of your own](crate::hub#your-own-ids). `id_of`
    /// returns the id of a message, or `None` to keep the hub's:
    ///
    /// ```
    /// use axum::response::IntoResponse;
    /// use tower_sse::{LastEventId, hub::Hub};
    ///
    /// async fn trades(hub: Hub, symbol: String, last: Option<LastEventId>) -> impl IntoResponse {
    ///     // The data of a message is its number, a symbol and a price.
    ///     let trades = hub.subscribe_to("trades").start_event(false);
    ///     let trades = trades.own_ids(|trade| Some(trade.data.split(' ').next()?.into()));
    ///     trades.resume(last).view(move |item| match item {
    ///         Ok(trade) => (trade.data.split(' ').nth(1) == Some(&*symbol)).then(|| trade.into()),
    ///         Err(gap) => Some(gap.into()),
    ///     }).response()
    /// }
    /// ```
    ///
    /// The messages, positions, start event and greeting of the view then have these ids. The
    /// client gets an id of the hub until a message has an id of yours, for most gaps, and at a
    /// start right after a gap. It also gets the hub's id if yours can't come back in a header,
    /// because it's empty, begins or ends with a space or tab, or contains a control character.
    /// [`resume`](Self::resume) accepts ids of both kinds.
    ///
    /// `resume` looks for the client's id in all messages that the topics keep. If no message has
    /// the id, the client is treated as if its id were of another hub, but the reason for its gaps
    /// is [`UnknownId`](crate::hub::GapReason::UnknownId). This happens mainly in three cases:
    ///
    /// - The message was evicted. Even if the hub has all later messages, the client gets a gap, so
    ///   let the [retention](crate::hub::HubBuilder::retention) exceed the pauses between messages.
    /// - The process was restarted without a [broker](crate::hub::Hub::connect).
    /// - The broker has not delivered the message to this process yet.
    ///
    /// Each id must be unique among the topics of the subscription. If two messages have the
    /// client's id, the client continues after the older one and receives the newer one again.
    ///
    /// # Costs
    ///
    /// Pass a function, or a closure that captures nothing. It must always return the same id for a
    /// message: each topic then keeps an index of the ids, for which `id_of` is called once per
    /// message. The index takes 0.8 KiB and up to 60 bytes for each message that the topic keeps.
    ///
    /// For a closure that captures variables, there is no index. `resume` then looks only at the
    /// newest 1,024 messages of the topics, and calls the closure for each of them. An older
    /// message counts as evicted.
    ///
    /// # Panics
    ///
    /// If `id_of` panics during `resume`, `resume` panics. If it panics later, the
    /// [body](EventBody) panics.
    pub fn own_ids<F>(mut self, id_of: F) -> Self
    where
        F: Fn(&Message) -> Option<MessageId> + Send + Sync + 'static,
    {
        self.own_ids = Some(Box::new(OwnIds::new(id_of)));
        self
    }
}

opaque_debug!(Subscribe);

impl Subscribe {
    /// Starts the subscription after the last event that the client has seen. Pass the request's
    /// [`LastEventId`](crate::LastEventId), if any, or an [`EventId`], such as a
    /// [`position`](crate::hub::Hub::position).
    ///
    /// The id decides what the subscription sends before new events, unless you call
    /// [`since`](Self::since):
    ///
    /// - **No id, or an empty one** (a first visit): the [greeting](Self::greeting), then the
    ///   [`recent`](Self::recent) and [latest](crate::Retention::latest) events.
    /// - **An id of this hub**: a gap for each topic that has evicted later events, then all later
    ///   events that the hub still keeps. Events that a [latest](crate::Retention::latest) event
    ///   has replaced cause no gap.
    /// - **An id of another hub**, for example from before a restart: a gap for each topic, except
    ///   for topics that keep a latest event, then all events that the hub still keeps.
    /// - **A malformed id**, or one later than any that the hub or its broker could have assigned:
    ///   a gap for each topic, then the same as on a first visit.
    ///
    /// If a [broker](crate::hub::Hub::connect) lost events before this call, a client whose id is
    /// older than the loss receives a gap for each topic.
    pub fn resume(mut self, last: impl Into<Option<LastEventId>>) -> Subscription {
        let hub = Arc::clone(&self.hub);
        let window = FlushWindow::new(self.window);
        let mut subscription = Subscription::new(Arc::clone(&hub), self.gap_policy, window);
        // Loaded before joining, so each event that is published after joining is newer.
        let newest = hub.committed();
        subscription.join(&self.topics, self.keeps_all);
        // After an id of this hub, all later losses are reported. Otherwise, only losses after the
        // start are reported: a client without an id has missed nothing, and after an unknown id
        // each topic begins with a gap or its newest value.
        subscription.loss_seen = newest;
        let parse = |id: Option<LastEventId>| {
            ResumeFrom::parse(id.as_ref(), hub.epoch, hub.newest_possible())
        };
        let (id, own_ids, start) = (last.into(), self.own_ids.take(), self.start);
        let last = match (parse(id.clone()), &own_ids, id) {
            (ResumeFrom::Unknown(_), Some(own_ids), Some(id)) => {
                // After `Foreign`, the client receives all kept events. With `since`, it starts at
                // that position instead, and `Malformed` gives its gaps the reason `UnknownId`.
                let is_alone = self.since.is_none();
                let unknown = if is_alone { UnknownId::Foreign } else { UnknownId::Malformed };
                let found = own_ids.find(&id, &subscription.cursors, &hub.topics);
                found.map_or(ResumeFrom::Unknown(unknown), ResumeFrom::Seen)
            }
            (last, ..) => last,
        };
        match self.since.take() {
            Some(since) => {
                subscription.begins_anew = true;
                let since = parse(Some(since.into()));
                self.start_since(since, last, newest, &mut subscription);
            }
            None => self.start(last, newest, &mut subscription),
        }
        subscription.start = match last {
            _ if start == StartPolicy::Off => start,
            ResumeFrom::Seen(_) => StartPolicy::NotNeeded,
            _ if subscription.has_id_first() => StartPolicy::FirstItem,
            _ => start,
        };
        let at = hub.position(subscription.cursors.sent());
        subscription.own_ids = own_ids.map(|it| it.start(at, &subscription.cursors, &hub.losses));
        subscription
    }

    fn start(self, last: ResumeFrom, newest: u64, subscription: &mut Subscription) {
        match last {
            ResumeFrom::Seen(seen) => subscription.seek_after(seen),
            ResumeFrom::Unknown(UnknownId::Foreign) => {
                subscription.unknown_id = Some(UnknownId::Foreign);
                subscription.is_foreign = true;
                subscription.cursors.iter_mut().for_each(TopicCursor::seek_foreign);
            }
            ResumeFrom::FirstVisit | ResumeFrom::Unknown(UnknownId::Malformed) => {
                let mut start = newest;
                let all = subscription.cursors.len().max(1);
                let topics = if self.is_recent_of_each { 1 } else { all };
                for cursors in subscription.cursors.chunks_mut(topics) {
                    let recent_from = before_recent(cursors, self.recent, newest);
                    start = start.min(recent_from);
                    cursors.iter_mut().for_each(|it| it.seek_first_visit(recent_from, newest));
                }
                let start = before_latest(&subscription.cursors, start);
                let missed_after =
                    (last != ResumeFrom::FirstVisit).then(|| UnknownId::Malformed.position());
                subscription.begin_with(missed_after, start, self.greeting);
            }
        }
    }

    /// Starts after the client's id if no later event is lost. Otherwise, starts with the greeting,
    /// and with gaps before the greeting if the client may have missed events. Then the events
    /// after `since` follow, or those after `newest` if `since` isn't of this hub.
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
            // `since` is of another hub: events may have been missed since that position.
            ResumeFrom::FirstVisit if !matches!(since, ResumeFrom::Seen(_)) => {
                Some(UnknownId::Malformed.position())
            }
            ResumeFrom::FirstVisit => None,
        };
        let mut start = if let ResumeFrom::Seen(since) = since { since } else { newest };
        subscription.seek_after(start);
        let end = subscription.cursors.iter().map(|cursor| cursor.topic().newest()).max();
        if let (ResumeFrom::Seen(_), Some(end)) = (last, end)
            && subscription.have_topics_ended()
            && subscription.hub.losses.first_after(end).is_none()
        {
            // A client that has seen the ends must not return with a later position: it would wait
            // for new topics.
            start = end;
            subscription.seek_after(end);
        }
        subscription.begin_with(missed_after, start, self.greeting);
    }
}

impl Subscription {
    fn seek_after(&mut self, seen: u64) {
        self.loss_seen = seen;
        self.cursors.set_sent(seen);
        self.cursors.iter_mut().for_each(|cursor| cursor.seek(seen, false));
        // If the client's id is later than the forgotten ends of all topics, the client waits for
        // new topics with these names.
        if !self.cursors.iter().all(|cursor| cursor.has_ended_before(seen)) {
            self.cursors.iter_mut().for_each(TopicCursor::count_end);
        }
    }

    fn has_id_first(&self) -> bool {
        self.preamble.is_some() || !self.cursors.iter().all(TopicCursor::is_caught_up)
    }

    /// Returns whether the client is due a gap, counting only losses up to `newest`.
    fn has_gap(&self, newest: u64) -> bool {
        self.unreported_loss().is_some_and(|loss| loss <= newest)
            || self.cursors.iter().any(TopicCursor::has_gap)
    }

    /// Begins with gaps after `missed_after`, if that is set, and then the greeting, unless the
    /// gaps end the stream. A client that disconnects between the gaps and the greeting reconnects
    /// with the id `missed_after`.
    fn begin_with(&mut self, missed_after: Option<Position>, start: u64, greeting: Option<Event>) {
        self.cursors.set_sent(start);
        let start = self.hub.position(start);
        let ends = missed_after.is_some()
            && self.gap_policy == GapPolicy::ReportAndEnd
            && !self.begins_anew;
        let greeting = greeting.filter(|_| !ends);
        let greeting = greeting.map(|event| Encoded::from(event.id(EventId::from(start))));
        let before = missed_after.unwrap_or(start);
        let reason = reason_of(before);
        if missed_after.is_some() || greeting.is_some() {
            self.preamble = Some(Box::new(Preamble {
                before,
                // A client that disconnects before the greeting must receive it later.
                last: if greeting.is_some() { before } else { start },
                next_gap: if missed_after.is_some() { 0 } else { self.cursors.len() },
                greeting,
                ends,
                reason,
            }));
        }
    }
}

/// Returns the position before the newest `count` events of all topics together, not counting
/// topics that keep only their newest value.
fn before_recent(cursors: &[TopicCursor], count: usize, newest: u64) -> u64 {
    if count == 0 {
        return newest;
    }
    let mut recent: Vec<u64> = Vec::new();
    for cursor in cursors.iter().filter(|cursor| !cursor.topic().is_latest()) {
        recent.extend(cursor.topic().lock().log.recent(count, newest).map(|(number, _)| number));
    }
    recent.sort_unstable_by(|one, other| other.cmp(one));
    match recent.get(count - 1).or(recent.last()) {
        Some(oldest) => oldest - 1,
        None => newest,
    }
}

/// Returns the position before the kept events of topics that keep only their newest value, or
/// `position` if that is earlier.
fn before_latest(cursors: &[TopicCursor], position: u64) -> u64 {
    let latest = cursors.iter().filter(|cursor| cursor.topic().is_latest());
    let oldest = latest.filter_map(|cursor| cursor.topic().lock().log.next(0)).min();
    oldest.map_or(position, |oldest| position.min(oldest - 1))
}

impl Subscribe {
    /// Exists only so that the compiler reports a helpful error.
    // `Self: IntoSse<M>` never holds. The parameter `M` delays the check until there is a caller.
    #[doc(hidden)]
    #[must_use]
    pub fn response<M>(self) -> Response<EventBody<Subscription>>
    where
        Self: IntoSse<M>,
    {
        self.resume(None).response()
    }
}

/// The topics of a [subscription](crate::hub::Hub::subscribe): any array or collection of names.
///
/// All collections and iterators of strings implement this trait, and nothing else can. Use it as a
/// bound, as in `fn events(hub: &Hub, topics: impl TopicNames) -> Subscribe`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of topics",
    label = "not an array or another collection of names",
    note = "subscribe to a single topic by `hub.subscribe_to(topic)`, or pass `[topic]`"
)]
pub trait TopicNames: IntoIterator<Item: AsRef<str>> {}

// Without this attribute, the compiler would report that `IntoIterator` is not implemented.
#[diagnostic::do_not_recommend]
impl<T: IntoIterator<Item: AsRef<str>>> TopicNames for T {}
