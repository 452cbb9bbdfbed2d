//! The tests of [`Feed`].

use std::sync::{Arc, Mutex};
use std::{future::pending, time::Duration};

use futures_util::{FutureExt, StreamExt};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{Acknowledged, Arrival, Broker, Closed, Feed, Publication, Publisher};
use crate::event::Event;
use crate::hub::{Hub, PublishError};

/// A broker that hands out its feed, and refuses every event.
#[derive(Clone)]
struct Engine {
    feed: Arc<Mutex<Option<Feed>>>,
    /// The result of connecting. `None` if it never ends.
    connected: Option<Result<(), &'static str>>,
}

impl Broker for Engine {
    type Publisher = Self;
    type Error = &'static str;

    fn name(&self) -> String {
        "engine".to_owned()
    }

    async fn start(self, feed: Feed) -> Result<Self, &'static str> {
        *self.feed.lock().unwrap() = Some(feed);
        match self.connected {
            Some(connected) => connected.map(|()| self),
            None => pending().await,
        }
    }
}

impl Publisher for Engine {
    async fn publish(&self, _publication: Publication) -> Result<Acknowledged, PublishError> {
        Err(PublishError::Refused("read only".into()))
    }

    fn newest_possible(&self, committed: u64) -> u64 {
        committed
    }
}

impl Engine {
    fn feed(&self) -> Feed {
        self.feed.lock().unwrap().take().unwrap()
    }

    fn new(connected: Option<Result<(), &'static str>>) -> Self {
        Self { feed: Arc::default(), connected }
    }

    fn connected() -> (Hub, Feed) {
        let engine = Self::new(Some(Ok(())));
        let hub = Hub::connect(engine.clone()).now_or_never().unwrap().unwrap();
        (hub, engine.feed())
    }
}

const fn arrival(sequence: u64) -> Arrival {
    Arrival::new(sequence, Duration::ZERO, Duration::ZERO)
}

fn event(feed: &mut Feed, sequence: u64) -> Result<bool, Closed> {
    feed.event(arrival(sequence), "a", &Event::from("x"))
}

fn assert_open(feed: &Feed) {
    assert!(!feed.is_closed());
    assert_eq!(feed.closed().now_or_never(), None);
}

fn assert_closed(feed: &mut Feed) {
    assert!(feed.is_closed());
    assert_eq!(feed.closed().now_or_never(), Some(()));
    assert_eq!(event(feed, 100), Err(Closed));
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
    let (hub, mut feed) = Engine::connected();
    assert_open(&feed);
    hub.close();
    assert_closed(&mut feed);
}

#[test]
fn feed_ends_with_the_last_clone_or_subscription_of_the_hub() {
    let (hub, mut feed) = Engine::connected();
    let subscription = hub.subscribe_to("a").resume(None);
    drop(hub.clone());
    drop(hub);
    assert_open(&feed);
    assert_eq!(event(&mut feed, 1), Ok(true));
    drop(subscription);
    assert_closed(&mut feed);
}

#[test]
fn feed_ends_when_connecting_is_cancelled_or_fails() {
    let engine = Engine::new(None);
    let mut connecting = Box::pin(Hub::connect(engine.clone()));
    assert!((&mut connecting).now_or_never().is_none());
    let mut feed = engine.feed();
    assert_open(&feed);
    assert_eq!(event(&mut feed, 1), Ok(true));
    drop(connecting);
    assert_closed(&mut feed);

    let engine = Engine::new(Some(Err("unreachable")));
    let failed = Hub::connect(engine.clone()).now_or_never().unwrap();
    assert_eq!(failed.unwrap_err(), "unreachable");
    assert_closed(&mut engine.feed());
}

#[test]
fn sequence_number_that_does_not_rise_is_ignored() {
    let (hub, mut feed) = Engine::connected();
    assert_eq!([7, 6].map(|sequence| event(&mut feed, sequence)), [Ok(true), Ok(false)]);
    assert_eq!(feed.event(arrival(7), "b", &Event::from("x")), Ok(false));
    assert_eq!(hub.topics(), [Arc::from("a")], "a stale event creates no topic");
    assert_eq!([9, 9].map(|sequence| feed.report_loss(sequence)), [Ok(true), Ok(false)]);
    assert_eq!([8, 10].map(|sequence| event(&mut feed, sequence)), [Ok(false), Ok(true)]);
    assert_eq!(received(&hub, "a").matches("data: x").count(), 2);
}

/// A loss up to a received event is not a loss: the hub has received all events up to there.
#[test]
fn loss_up_to_a_received_event_is_ignored() {
    let (hub, mut feed) = Engine::connected();
    assert_eq!([5, 6].map(|sequence| event(&mut feed, sequence)), [Ok(true); 2]);
    assert_eq!([5, 6].map(|sequence| feed.report_loss(sequence)), [Ok(false); 2]);
    let received = received(&hub, "a");
    assert!(!received.contains("gap"), "{received}");
    assert_eq!(received.matches("data: x").count(), 2);
}

/// Returns the ids in what a subscription sends after the id with this number.
fn ids_after(hub: &Hub, number: u64) -> Vec<String> {
    let epoch = hub.position().as_str().split_once('-').unwrap().0.to_owned();
    let last = crate::LastEventId::try_from(format!("{epoch}-{number}")).unwrap();
    let mut subscription = hub.subscribe(["a", "b"]).resume(last);
    let mut ids = Vec::new();
    while let Some(Some(item)) = subscription.next().now_or_never() {
        let text = str::from_utf8(item.as_bytes()).unwrap();
        ids.extend(text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned));
    }
    ids
}

#[test]
fn highest_number_can_be_fed_and_nothing_after_it() {
    const HIGHEST: u64 = u64::MAX - 1;
    for is_loss in [false, true] {
        let (hub, mut feed) = Engine::connected();
        assert_eq!(event(&mut feed, 7), Ok(true));
        let mut waiting = hub.subscribe(["a", "b"]).resume(None);
        assert!(waiting.next().now_or_never().is_none());
        let fed = if is_loss { feed.report_loss(HIGHEST) } else { event(&mut feed, HIGHEST) };
        assert_eq!(fed, Ok(true));
        assert!(waiting.next().now_or_never().is_some());
        for number in [8, HIGHEST, u64::MAX] {
            assert_eq!(event(&mut feed, number), Ok(false));
            assert_eq!(feed.event(arrival(number).ends_topic(true), "b", &"x".into()), Ok(false));
            assert_eq!(feed.report_loss(number), Ok(false));
        }
        for number in [0, 7, HIGHEST - 1] {
            let last = ids_after(&hub, number).pop();
            assert_eq!(last.as_deref(), Some(hub.position().as_str()), "after {number}");
        }
        assert_eq!(ids_after(&hub, HIGHEST), [""; 0]);
    }
}

#[test]
fn highest_number_can_end_a_topic() {
    let (hub, mut feed) = Engine::connected();
    let end = arrival(u64::MAX - 1).ends_topic(true);
    assert_eq!(feed.event(end, "a", &"x".into()), Ok(true));
    for number in [u64::MAX - 1, u64::MAX] {
        assert_eq!(event(&mut feed, number), Ok(false));
    }
    assert_eq!(hub.subscribe_to("a").resume(None).next().now_or_never(), Some(None));
}

/// A subscription could not continue behind it.
#[test]
fn number_that_none_can_follow_is_ignored() {
    let (hub, mut feed) = Engine::connected();
    assert_eq!(event(&mut feed, u64::MAX), Ok(false));
    assert_eq!(feed.report_loss(u64::MAX), Ok(false));
    assert_eq!(hub.topics(), [""; 0].map(Arc::from), "it creates no topic");
    assert_eq!(event(&mut feed, 1), Ok(true));
    assert_eq!(ids_after(&hub, 0).len(), 1);
}

/// A broker that only orders events can have one after the end of its topic.
#[test]
fn events_after_an_end_are_dropped_until_the_log_frees_the_name() {
    let (hub, mut feed) = Engine::connected();
    for (sequence, milliseconds, ends_topic, is_new, count) in [
        (1, 0, true, true, 1),
        (2, 299_999, false, true, 1),
        (2, 299_999, false, false, 1),
        (3, 300_000, false, true, 2),
    ] {
        let arrival = Arrival::new(sequence, Duration::from_millis(milliseconds), Duration::ZERO)
            .ends_topic(ends_topic);
        assert_eq!(feed.event(arrival, "a", &Event::from("x")), Ok(is_new), "{arrival:?}");
        assert_eq!(received(&hub, "a").matches("data: x").count(), count, "{arrival:?}");
    }
}

/// Returns a hub whose reader is this future, and a task that ends with that of the reader.
fn with_reader(reader: impl Future<Output = ()> + Send + 'static) -> (Hub, JoinHandle<()>) {
    let (hub, feed) = Engine::connected();
    let (done, ended) = oneshot::channel::<()>();
    feed.spawn(|feed| async move {
        let _parts = (done, feed);
        reader.await;
    });
    (hub, tokio::spawn(async { _ = ended.await }))
}

#[tokio::test]
async fn reader_that_returns_or_panics_closes_its_hub() {
    for reader in [async {}.boxed(), async { panic!("planned") }.boxed()] {
        let (hub, _) = with_reader(reader);
        let mut subscription = hub.subscribe_to("a").resume(None);
        while subscription.next().await.is_some() {}
        let error = hub.publish("a", "x").await.unwrap_err();
        assert!(matches!(error, PublishError::Closed), "{error:?}");
    }
}

#[tokio::test]
async fn reader_that_waits_ends_with_its_hub() {
    let (hub, ended) = with_reader(pending());
    hub.close();
    ended.await.unwrap();
    let (hub, ended) = with_reader(pending());
    drop(hub);
    ended.await.unwrap();
}
