use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    callback::catch_panic,
    event::Event,
    hub::{Hub, append::NotAppended, state::HubState},
};

/// The connection over which a broker passes events to a hub.
///
/// Sequence numbers must rise, so the broker must not call these methods concurrently.
#[derive(Clone)]
pub struct Feed {
    /// Weak, so that a broker does not keep its hub alive.
    hub: Weak<HubState>,
    closed: CancellationToken,
    max_age: Duration,
}

/// What a broker knows of an event besides its content.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub sequence: u64,
    /// The time since the event was published.
    pub age: Duration,
    /// The time at which it was published, by a clock that all processes share.
    pub at: Duration,
    /// Whether it ends its topic.
    pub is_last: bool,
}

/// The error for a feed whose hub is closed or dropped. The broker must stop feeding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Feed {
    pub(crate) fn new(hub: &Arc<HubState>, closed: CancellationToken, max_age: Duration) -> Self {
        Self { hub: Arc::downgrade(hub), closed, max_age }
    }

    /// Appends an event, or drops it if its topic has ended. Returns `false` if the hub already had
    /// this sequence number or a higher one.
    ///
    /// If [`retention_of`](crate::hub::HubBuilder::retention_of) panics, the event is not appended, and
    /// its loss is reported.
    pub fn event(&self, arrival: Arrival, topic: &str, event: &Event) -> Result<bool, Closed> {
        let hub = self.hub.upgrade().ok_or(Closed)?;
        // `receive` calls the program's `retention_of` and wakers. Their panics must not end the
        // broker's task. If the event was appended before the panic, the loss is stale.
        let received = catch_panic(|| hub.receive(arrival, topic, event));
        let is_new = accepted(received.unwrap_or_else(|| hub.record_loss(arrival.sequence)))?;
        if is_new && let Some(link) = hub.link() {
            link.set_lag(arrival.age);
            link.arrivals.arrived(arrival.sequence);
        }
        Ok(is_new)
    }

    /// Reports that each topic may have lost events up to this sequence number. Subscribers receive
    /// the kept events from before the loss, then a gap for each topic. Returns `false` if the hub
    /// has already reached this sequence number, and so missed nothing.
    pub fn report_loss(&self, sequence: u64) -> Result<bool, Closed> {
        let hub = self.hub.upgrade().ok_or(Closed)?;
        let is_new = accepted(hub.record_loss(sequence))?;
        if let Some(link) = hub.link() {
            link.arrivals.arrived(sequence);
        }
        Ok(is_new)
    }

    /// Returns the age up to which the broker loads the history.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Returns whether the hub is closed or dropped.
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Returns whether this feed belongs to `hub`.
    pub fn feeds(&self, hub: &Hub) -> bool {
        std::ptr::eq(self.hub.as_ptr(), Arc::as_ptr(hub.shared()))
    }

    /// Runs a future, and drops it when the hub is closed or dropped.
    pub async fn run_until_closed(&self, future: impl Future<Output = ()>) {
        _ = self.closed.run_until_cancelled(future).await;
    }
}

fn accepted(result: Result<(), NotAppended>) -> Result<bool, Closed> {
    match result {
        Ok(()) | Err(NotAppended::Ended) => Ok(true),
        Err(NotAppended::Stale) => Ok(false),
        Err(NotAppended::Closed) => Err(Closed),
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("max_age", &self.max_age).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::{pending, ready},
        sync::{Arc, Mutex},
        time::Duration,
    };

    use futures_util::{FutureExt, StreamExt};

    use super::{Arrival, Closed, Feed};
    use crate::{
        event::Event,
        hub::{
            Broker, Hub, PublishError,
            broker::{Publisher, Publishing},
        },
        sealed::Sealed,
    };

    /// A broker that hands out its feed.
    #[derive(Clone, Default)]
    struct Engine {
        feed: Arc<Mutex<Option<Feed>>>,
        fails: bool,
        never_connects: bool,
    }

    struct NoPublisher;

    impl Sealed for Engine {}

    impl Broker for Engine {
        type Error = &'static str;

        fn name(&self) -> String {
            "engine".to_owned()
        }

        async fn start(self, feed: Feed) -> Result<impl Publisher, &'static str> {
            *self.feed.lock().unwrap() = Some(feed);
            if self.never_connects {
                pending::<Infallible>().await;
            }
            if self.fails { Err("unreachable") } else { Ok(NoPublisher) }
        }
    }

    impl Publisher for NoPublisher {
        fn publish(&self, _topic: &str, _event: &Event, _is_last: bool) -> Publishing {
            Box::pin(ready(Err(PublishError::Refused("read only".into()))))
        }

        fn newest_possible(&self, committed: u64) -> u64 {
            committed
        }
    }

    impl Engine {
        fn feed(&self) -> Feed {
            self.feed.lock().unwrap().clone().unwrap()
        }

        fn connected() -> (Hub, Feed) {
            let engine = Self::default();
            let hub = Hub::connect(engine.clone()).now_or_never().unwrap().unwrap();
            (hub, engine.feed())
        }
    }

    const fn arrival(sequence: u64) -> Arrival {
        Arrival { sequence, age: Duration::ZERO, at: Duration::ZERO, is_last: false }
    }

    fn assert_open(feed: &Feed) {
        assert!(!feed.is_closed());
        let forever = feed.run_until_closed(std::future::pending());
        assert_eq!(forever.now_or_never(), None);
    }

    fn assert_closed(feed: &Feed) {
        assert!(feed.is_closed());
        let forever = feed.run_until_closed(std::future::pending());
        assert_eq!(forever.now_or_never(), Some(()));
        assert_eq!(feed.event(arrival(100), "a", &Event::from("x")), Err(Closed));
        assert_eq!(feed.report_loss(100), Err(Closed));
    }

    /// Returns the lines of the next items of a subscription that has seen nothing.
    fn received(hub: &Hub, topic: &str) -> String {
        let position = format!("{}-0", hub.position().as_str().split_once('-').unwrap().0);
        let last = crate::LastEventId::try_from(position).unwrap();
        let mut subscription = hub.subscribe_to(topic).resume(last);
        let mut text = String::new();
        while let Some(Some(item)) = subscription.next().now_or_never() {
            text.push_str(str::from_utf8(item.as_bytes()).unwrap());
        }
        text
    }

    #[test]
    fn feed_ends_when_the_hub_is_closed() {
        let (hub, feed) = Engine::connected();
        assert_open(&feed);
        hub.close();
        assert_closed(&feed);
    }

    #[test]
    fn feed_ends_with_the_last_clone_or_subscription_of_the_hub() {
        let (hub, feed) = Engine::connected();
        let subscription = hub.subscribe_to("a").resume(None);
        drop(hub.clone());
        drop(hub);
        assert_open(&feed);
        assert_eq!(feed.event(arrival(1), "a", &Event::from("x")), Ok(true));
        drop(subscription);
        assert_closed(&feed);
    }

    #[test]
    fn feed_ends_when_connecting_is_cancelled_or_fails() {
        let engine = Engine { never_connects: true, ..Engine::default() };
        let mut connecting = Box::pin(Hub::connect(engine.clone()));
        assert!((&mut connecting).now_or_never().is_none());
        let feed = engine.feed();
        assert_open(&feed);
        assert_eq!(feed.event(arrival(1), "a", &Event::from("history")), Ok(true));
        drop(connecting);
        assert_closed(&feed);

        let engine = Engine { fails: true, ..Engine::default() };
        let failed = Hub::connect(engine.clone()).now_or_never().unwrap();
        assert_eq!(failed.unwrap_err(), "unreachable");
        assert_closed(&engine.feed());
    }

    #[test]
    fn sequence_number_that_does_not_rise_is_ignored() {
        let (hub, feed) = Engine::connected();
        let event = |sequence, topic| feed.event(arrival(sequence), topic, &Event::from("x"));
        assert_eq!(event(7, "a"), Ok(true));
        assert_eq!(event(7, "b"), Ok(false));
        assert_eq!(event(6, "a"), Ok(false));
        assert_eq!(hub.topics(), [Arc::from("a")], "a stale event creates no topic");
        assert_eq!(feed.report_loss(9), Ok(true));
        assert_eq!(feed.report_loss(9), Ok(false));
        assert_eq!(event(8, "a"), Ok(false));
        assert_eq!(event(10, "a"), Ok(true));
        assert_eq!(received(&hub, "a").matches("data: x").count(), 2);
    }

    /// A loss up to a received event is not a loss: the hub has received all events up to there.
    #[test]
    fn loss_up_to_a_received_event_is_ignored() {
        let (hub, feed) = Engine::connected();
        for sequence in [5, 6] {
            assert_eq!(feed.event(arrival(sequence), "a", &Event::from("x")), Ok(true));
        }
        assert_eq!(feed.report_loss(5), Ok(false));
        assert_eq!(feed.report_loss(6), Ok(false));
        let received = received(&hub, "a");
        assert!(!received.contains("gap"), "{received}");
        assert_eq!(received.matches("data: x").count(), 2);
    }

    /// A broker that only orders events can have one after the end of its topic.
    #[test]
    fn events_after_the_end_of_a_topic_are_dropped_until_the_log_says_that_its_name_is_free() {
        let (hub, feed) = Engine::connected();
        let five_minutes = Duration::from_secs(300);
        let at = |sequence, at| Arrival { at, ..arrival(sequence) };
        let event = Event::from("x");
        let end = Arrival { is_last: true, ..arrival(1) };
        assert_eq!(feed.event(end, "a", &event), Ok(true));
        let before = five_minutes - Duration::from_millis(1);
        assert_eq!(feed.event(at(2, before), "a", &event), Ok(true));
        assert_eq!(feed.event(at(2, before), "a", &event), Ok(false), "it was passed");
        assert_eq!(received(&hub, "a").matches("data: x").count(), 1);
        assert_eq!(feed.event(at(3, five_minutes), "a", &event), Ok(true));
        assert_eq!(received(&hub, "a").matches("data: x").count(), 2);
    }
}
