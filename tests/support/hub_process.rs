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

/// Asserts that each client receives one gap and all later events after all processes were stopped
/// and a copy of the log was put in place. `put_back` waits until the hubs, which are closed, have
/// disconnected, and puts the copy in place.
pub async fn restore_is_told<H, S>(
    connect: impl AsyncFn() -> HubProcess<H, S>,
    copy: impl AsyncFnOnce(),
    put_back: impl AsyncFnOnce(),
) {
    let processes = [connect().await, connect().await];
    let mut ids = Vec::new();
    ids.extend(processes[0].publish(1..=5).await);
    copy().await;
    for number in 6..=10 {
        ids.extend(processes[1].publish([number]).await);
    }
    let mut clients = Vec::new();
    for mut process in processes {
        process.reads(1..=10).await;
        process.hub.close();
        clients.push(process.client);
    }
    put_back().await;
    let processes = [connect().await, connect().await, connect().await];
    for (process, client) in processes.iter().zip(&mut clients) {
        client.move_to(&process.hub);
    }
    for process in &processes {
        let resumed = |it: &Receipt| Client::resume(&process.hub, &["a"], Some(it.id().into()));
        clients.extend(ids.iter().map(resumed));
    }
    processes[0].publish(11..=15).await;
    let expected = ["gap", "11", "12", "13", "14", "15"];
    for client in &mut clients {
        let mut received = Vec::new();
        while received.last().is_none_or(|last| last != "15") {
            let message = client.next().await;
            let is_gap = message.event == "gap";
            received.push(if is_gap { "gap".to_owned() } else { message.data.to_string() });
        }
        assert_eq!(received, expected);
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
