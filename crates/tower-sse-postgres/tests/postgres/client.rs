use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;
use tower_sse::{
    Decoder, LastEventId, Message,
    hub::{Hub, Subscription},
};

use crate::*;

/// A client that reads its messages one by one, and remembers the last event id.
pub(crate) struct Client {
    topics: Vec<String>,
    subscription: Subscription,
    decoder: Decoder,
    /// The bytes that were received and not yet decoded.
    bytes: Bytes,
    pub(crate) last: Option<LastEventId>,
}

impl Client {
    pub(crate) fn connect(hub: &Hub, topics: &[&str]) -> Self {
        Self::resume(hub, topics, None)
    }

    pub(crate) fn resume(hub: &Hub, topics: &[&str], last: Option<LastEventId>) -> Self {
        Self {
            topics: topics.iter().map(ToString::to_string).collect(),
            subscription: hub.subscribe(topics).resume(last.clone()),
            decoder: Decoder::new().max_event_size(4 << 20),
            bytes: Bytes::new(),
            last,
        }
    }

    /// Reconnects with the last event id, to the hub of any process. Bytes that were received and
    /// not yet decoded are lost, as when a connection breaks.
    pub(crate) fn move_to(&mut self, hub: &Hub) {
        self.subscription = hub.subscribe(&self.topics).resume(self.last.clone());
        self.decoder = Decoder::new().max_event_size(4 << 20);
        self.bytes = Bytes::new();
    }

    /// Returns the next message, an event or a gap.
    pub(crate) async fn next(&mut self) -> Message {
        self.try_next().await.expect("an open stream")
    }

    /// Returns the next message, or `None` when the stream has ended.
    pub(crate) async fn try_next(&mut self) -> Option<Message> {
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

    /// Returns the data of the next `count` messages, which must be events.
    pub(crate) async fn data(&mut self, count: usize) -> Vec<String> {
        let mut data = Vec::new();
        for _ in 0..count {
            let message = self.next().await;
            assert_ne!(message.event, "gap", "after {data:?}");
            data.push(message.data);
        }
        data
    }

    /// Reads a gap of this topic.
    pub(crate) async fn gap(&mut self, topic: &str) {
        let message = self.next().await;
        assert_eq!((&*message.event, &*message.data), ("gap", topic), "{message:?}");
    }
}
