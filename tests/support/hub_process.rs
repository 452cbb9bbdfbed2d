//! Hubs that share a broker, as those of several processes do, and their clients.

#![allow(dead_code, unreachable_pub)]

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};
use tower_sse::decode::{Decoder, Message};
use tower_sse::hub::{Hub, PublishError, Receipt, Subscription};
use tower_sse::{Event, LastEventId};

use crate::PATIENCE;

/// The hub of a process, the health and the statistics of its broker, and one client of topic `a`.
pub struct HubProcess<H, S> {
    pub hub: Hub,
    pub health: H,
    pub stats: S,
    pub client: Client,
}

impl<H, S> HubProcess<H, S> {
    pub fn new(hub: Hub, health: H, stats: S) -> Self {
        let client = Client::connect(&hub, &["a"]);
        Self { hub, health, stats, client }
    }

    /// Publishes events with these numbers as data to topic `a`, as [`publish`] does. Returns the
    /// last receipt.
    pub async fn publish(&self, numbers: impl IntoIterator<Item = usize>) -> Option<Receipt> {
        let mut receipt = None;
        for number in numbers {
            receipt = Some(publish(&self.hub, "a", &number.to_string()).await);
        }
        receipt
    }

    pub async fn reads(&mut self, numbers: impl IntoIterator<Item = usize>) {
        let numbers: Vec<_> = numbers.into_iter().map(|number| number.to_string()).collect();
        assert_eq!(self.client.data(numbers.len()).await, numbers);
    }

    pub async fn reads_gap(&mut self) {
        self.client.gap("a").await;
    }

    pub async fn reads_after_a_gap(&mut self, numbers: impl IntoIterator<Item = usize>) {
        self.reads_gap().await;
        self.reads(numbers).await;
    }
}

/// Publishes an event, again and again while the broker refuses it.
pub async fn publish(hub: &Hub, topic: &str, data: &str) -> Receipt {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match hub.publish(topic, data.to_owned()).await {
            Ok(receipt) => return receipt,
            Err(PublishError::Refused(error)) => {
                assert!(Instant::now() < deadline, "{error:?}");
                sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Asserts that a client that resumes at the position of its first visit receives the event
/// published since then. It resumes at the process of that visit, and at a process that has just
/// started. The client does this twice: the first time, no event was published before its visit.
pub async fn first_visits_miss_nothing(connect: impl AsyncFn() -> Hub) {
    for number in ["1", "2"] {
        let visited = connect().await;
        let start = LastEventId::from(visited.position());
        publish(&visited, "a", number).await;
        for returned in [visited, connect().await] {
            let mut client = Client::resume(&returned, &["a"], Some(start.clone()));
            assert_eq!(client.data(1).await, [number]);
        }
    }
}

/// A client that reads its messages one by one and remembers the last event id.
pub struct Client {
    topics: Vec<String>,
    subscription: Subscription,
    decoder: Decoder,
    /// The bytes that were received and not yet decoded.
    bytes: Bytes,
    pub last: Option<LastEventId>,
}

impl Client {
    pub fn connect(hub: &Hub, topics: &[&str]) -> Self {
        Self::resume(hub, topics, None)
    }

    /// Connects for the first time, and receives a greeting whose id is the hub's position.
    pub fn greeted(hub: &Hub, topics: &[&str]) -> Self {
        let greeting = Event::new().event("hello").data("");
        let subscription = hub.subscribe(topics).greeting(greeting).resume(None);
        Self { subscription, ..Self::connect(hub, topics) }
    }

    /// Connects for the first time, and receives the newest events of the history.
    pub fn recent(hub: &Hub, topics: &[&str], events: usize) -> Self {
        let subscription = hub.subscribe(topics).recent(events).resume(None);
        Self { subscription, ..Self::connect(hub, topics) }
    }

    pub fn resume(hub: &Hub, topics: &[&str], last: Option<LastEventId>) -> Self {
        Self {
            topics: topics.iter().map(ToString::to_string).collect(),
            subscription: hub.subscribe(topics).resume(last.clone()),
            decoder: Decoder::new().max_event_size(4 << 20),
            bytes: Bytes::new(),
            last,
        }
    }

    /// Reconnects to `hub` with the last event id. Bytes that were received and not yet decoded are
    /// lost, as when a connection breaks.
    pub fn move_to(&mut self, hub: &Hub) {
        let topics: Vec<_> = self.topics.iter().map(String::as_str).collect();
        *self = Self::resume(hub, &topics, self.last.clone());
    }

    pub async fn next(&mut self) -> Message {
        self.try_next().await.expect("an open stream")
    }

    pub async fn try_next(&mut self) -> Option<Message> {
        timeout(PATIENCE, self.read()).await.expect("a message in time")
    }

    async fn read(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.decode(&mut self.bytes).unwrap() {
                self.last = LastEventId::try_from(&*message.last_event_id).ok();
                return Some(message);
            }
            self.bytes = Bytes::copy_from_slice(self.subscription.next().await?.as_bytes());
        }
    }

    pub async fn data(&mut self, count: usize) -> Vec<String> {
        let mut data = Vec::new();
        for _ in 0..count {
            let message = self.next().await;
            assert_ne!(message.event, "gap", "after {data:?}");
            data.push(message.data);
        }
        data
    }

    pub async fn gap(&mut self, topic: &str) {
        let message = self.next().await;
        let object = message.data.strip_prefix(r#"{"topic":""#);
        let name = object.and_then(|rest| rest.split_once('"'));
        let data = name.map_or(&*message.data, |(name, _)| name);
        assert_eq!((&*message.event, data), ("gap", topic), "{message:?}");
    }
}
