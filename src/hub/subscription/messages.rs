use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::Response;
use tokio::time::{Sleep, sleep};

use super::Subscription;
use super::preamble::{decode_gap, gap_data};
use super::subscription::{StartPolicy, respond};
use crate::decode::{Decoder, Message, MessageId};
use crate::event::{Encoded, Event, EventId};
use crate::{body::EventBody, coop::CoopBudget, hub::GapReason, signals::Viewer};

/// A stream of [`Message`]s and [`Gap`]s, from [`Subscription::messages`]. It ends with the
/// subscription.
#[derive(Debug)]
pub struct Messages {
    subscription: Subscription,
    decoder: Decoder,
    /// What is left of the subscription's last item.
    rest: Bytes,
    /// Whether `rest` may be the [greeting](super::Subscribe::greeting).
    is_preamble: bool,
}

/// A [gap](super::GapPolicy) in the messages of a topic: messages may have been missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap(Message);

impl Gap {
    /// Returns the topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.0.data.split_once(' ').map_or("", |(_, topic)| topic)
    }

    /// Returns why messages may be missing.
    #[must_use]
    pub fn reason(&self) -> GapReason {
        let is_reason = |reason: &&GapReason| self.0.data.starts_with(reason.as_str());
        GapReason::ALL.iter().find(is_reason).copied().unwrap_or(GapReason::Evicted)
    }

    /// Returns the gap's id. A subscription can [resume](super::Subscribe::resume) from it.
    #[must_use]
    pub const fn last_event_id(&self) -> &MessageId {
        &self.0.last_event_id
    }
}

/// Converts the gap into the event that a plain subscription sends for it.
impl From<Gap> for Event {
    fn from(gap: Gap) -> Self {
        let data = gap_data(gap.topic(), gap.reason());
        Self::from(Message { data, ..gap.0 })
    }
}

error_text!(Gap, |it| "messages of the topic {:?} may be missing", it.topic());

impl Subscription {
    /// Returns the decoded messages of the subscription, for consumers in the same process. If
    /// messages may be missing, the stream yields a [`Gap`] as an error:
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use tower_sse::hub::Hub;
    ///
    /// async fn invalidate(hub: Hub) {
    ///     let mut messages = hub.subscribe_to("cache").resume(None).messages();
    ///     while let Some(message) = messages.next().await {
    ///         match message {
    ///             Ok(message) => println!("forget {}", message.data),
    ///             Err(_gap) => println!("clear the cache"),
    ///         }
    ///     }
    /// }
    /// # drop(invalidate(Hub::new()));
    /// ```
    ///
    /// ```compile_fail,E0609
    /// # use futures_util::StreamExt;
    /// # fn room(hub: tower_sse::hub::Hub) {
    /// let texts = hub.subscribe_to("room").resume(None).messages().map(|message| message.data);
    /// # }
    /// ```
    #[must_use]
    pub fn messages(mut self) -> Messages {
        self.has_bare_gaps = true;
        // The hub limits an event's data, but not the size of the whole event.
        let decoder = Decoder::new().max_event_size(usize::MAX);
        Messages { subscription: self, decoder, rest: Bytes::new(), is_preamble: false }
    }

    /// Filters, encodes or translates each event for one client. `show` returns the event that the
    /// client receives, or `None` to hide it:
    ///
    /// ```
    /// use axum::response::IntoResponse;
    /// use tower_sse::{Event, LastEventId, hub::Hub};
    ///
    /// async fn alarms(hub: Hub, level: u8, last: Option<LastEventId>) -> impl IntoResponse {
    ///     hub.subscribe_to("alarms").resume(last).view(move |item| match item {
    ///         Ok(alarm) if alarm.data.parse::<u8>().is_ok_and(|it| it >= level) => {
    ///             Some(Event::new().event("alarm").data(alarm.data))
    ///         }
    ///         Ok(_) => None,
    ///         Err(_gap) => Some(Event::new().event("reload").data("{}")),
    ///     }).response()
    /// }
    /// ```
    ///
    /// `show` gets each event of the topics, each gap, and the
    /// [greeting](super::Subscribe::greeting). To pass a gap on unchanged, return `gap.into()`. An
    /// event without an id gets the id of the event or gap that it stands for.
    ///
    /// A client also receives the positions of hidden events, so it gets no gap for these when it
    /// reconnects. At the latest after 256 hidden events, or 5 seconds after the first, it receives
    /// the newest position: an `EventSource` or a [library](crate::ClientKind::Library) in a
    /// [`start`](super::Subscribe::start_event) event, other clients as an id alone. A client
    /// without an id receives its first position at once. In a [long
    /// poll](crate::StreamOptions::long_poll) of less than 10 seconds, half of the poll's wait
    /// replaces the 5 seconds.
    ///
    /// With `start_event(false)`, a client receives a position only when all topics have ended and
    /// the last event is hidden, so that it stops. It's an id alone, which Firefox forgets, and is
    /// left out if `show` has set another id. If you also set
    /// [`own_ids`](super::Subscribe::own_ids), each client receives all positions as ids alone.
    ///
    /// If `show` panics, so does the [body](EventBody), as for any stream that panics.
    ///
    /// # Panics
    ///
    /// Poll the view in a tokio runtime with timers enabled. Otherwise, polling the view can panic
    /// when an event is hidden.
    pub fn view<F>(self, show: F) -> View<F>
    where
        F: FnMut(Result<Message, Gap>) -> Option<Event>,
    {
        let (needs_id, budget) = (self.start == StartPolicy::FirstItem, CoopBudget::default());
        let (messages, viewer) = (self.messages(), Arc::default());
        View { messages, show, hidden: None, needs_id, sets_ids: false, budget, viewer }
    }
}

impl Stream for Messages {
    type Item = Result<Message, Gap>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Ok(Some(mut message)) = this.decoder.decode(&mut this.rest) {
                let is_gap = message.event == "gap";
                if let Some(own_ids) = &mut this.subscription.own_ids {
                    own_ids.set_id(&mut message, is_gap || this.is_preamble);
                }
                if !is_gap {
                    return Poll::Ready(Some(Ok(message)));
                }
                message.data = decode_gap(&message.data);
                return Poll::Ready(Some(Err(Gap(message))));
            }
            this.is_preamble = this.subscription.preamble.is_some();
            match ready!(Pin::new(&mut this.subscription).poll_next(cx)) {
                Some(item) => this.rest = item.into(),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// The events of a subscription as one client sees them, from [`Subscription::view`].
#[must_use = "call `response`"]
pub struct View<F> {
    messages: Messages,
    show: F,
    hidden: Option<Hidden>,
    /// Whether the client has received no id, and may have come without one.
    needs_id: bool,
    /// Whether `show` has set an event's id.
    sets_ids: bool,
    budget: CoopBudget,
    /// The layer's description of the client, set through the response's `StartAt`.
    viewer: Arc<OnceLock<Viewer>>,
}

/// The events hidden since the client last received an event or a position.
struct Hidden {
    count: usize,
    /// The id of the newest hidden event.
    id: MessageId,
    due: Pin<Box<Sleep>>,
}

/// The number of hidden events after which the client gets a position.
const MAX_HIDDEN: usize = 256;
/// How long after the first hidden event the client gets a position, at the latest.
const MAX_DELAY: Duration = Duration::from_secs(5);

impl<F: FnMut(Result<Message, Gap>) -> Option<Event>> View<F> {
    /// Turns the view into a response, as [`Subscription::response`] does.
    #[must_use]
    pub fn response(self) -> Response<EventBody<Self>> {
        let viewer = Arc::clone(&self.viewer);
        respond(self, |view| &view.messages.subscription, Some(viewer))
    }
}

// The closure is never pinned.
impl<F> Unpin for View<F> {}

impl<F: FnMut(Result<Message, Gap>) -> Option<Event>> Stream for View<F> {
    type Item = Encoded;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Encoded>> {
        let this = self.get_mut();
        loop {
            let item = match Pin::new(&mut this.messages).poll_next(cx) {
                Poll::Ready(Some(item)) => item,
                Poll::Ready(None) => return Poll::Ready(this.position()),
                Poll::Pending => {
                    let Some(hidden) = &mut this.hidden else { return Poll::Pending };
                    if !this.needs_id {
                        ready!(hidden.due.as_mut().poll(cx));
                    }
                    return Poll::Ready(this.position());
                }
            };
            let id = item.as_ref().map_or_else(Gap::last_event_id, |it| &it.last_event_id).clone();
            if let Some(event) = (this.show)(item) {
                (this.hidden, this.needs_id) = (None, false);
                this.sets_ids |= event.has_id_other_than(&id);
                return Poll::Ready(Some(with_id(event, &id)));
            }
            let it = &this.messages.subscription;
            let has_ids = it.start != StartPolicy::Off || it.own_ids.is_some();
            // Without the position of the end, an `EventSource` would return for ever.
            if (has_ids || (!this.sets_ids && it.have_topics_ended()))
                && this.hide(id) == MAX_HIDDEN
            {
                return Poll::Ready(this.position());
            }
            ready!(this.budget.poll_empty(cx));
        }
    }
}

impl<F> View<F> {
    fn hide(&mut self, id: MessageId) -> usize {
        let max_wait = self.viewer.get().and_then(|it| it.max_wait);
        // Due before a long poll ends, because otherwise each poll could end without a position.
        let delay = max_wait.map_or(MAX_DELAY, |it| MAX_DELAY.min(it / 2));
        let hidden = self.hidden.take();
        let (count, due) =
            hidden.map_or_else(|| (0, Box::pin(sleep(delay))), |it| (it.count, it.due));
        self.hidden.insert(Hidden { count: count + 1, id, due }).count
    }

    fn position(&mut self) -> Option<Encoded> {
        let hidden = self.hidden.take()?;
        self.needs_id = false;
        let may_start = self.messages.subscription.start != StartPolicy::Off;
        let needs_event = may_start && self.viewer.get().is_some_and(|it| it.needs_event);
        let event = Event::new();
        let event = if needs_event { event.event("start").data("{}") } else { event };
        Some(with_id(event, &hidden.id))
    }
}

fn with_id(event: Event, id: &str) -> Encoded {
    match EventId::try_from(id.to_owned()) {
        Ok(id) if !event.has_id() => event.id(id).into(),
        _ => event.into(),
    }
}

opaque_debug!(View<F>);
