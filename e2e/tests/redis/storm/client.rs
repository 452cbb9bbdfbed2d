use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::timeout_at;
use tower_sse::{Decoder, Message};

use crate::*;

/// A client that reconnects with its last event id, like a browser.
pub(super) struct StormClient {
    number: usize,
    addresses: [SocketAddr; 3],
    path: String,
    journal: Journal,
    last: Option<String>,
    /// The topics of which it has received the last event.
    ended: Vec<usize>,
}

impl StormClient {
    pub(super) fn new(number: usize, mut topics: Vec<usize>, addresses: [SocketAddr; 3]) -> Self {
        topics.sort_unstable();
        topics.dedup();
        let names: Vec<_> = topics.iter().map(ToString::to_string).collect();
        let path = format!("/events/{}", names.join(","));
        let journal = Journal { topics, start: 0, messages: Vec::new() };
        Self { number, addresses, path, journal, last: None, ended: Vec::new() }
    }

    /// Reads, and reconnects to another process after a while, until it has the last event of each
    /// topic. Returns the journal and the number of connections.
    pub(super) async fn run(mut self, calm: CancellationToken) -> (Journal, usize) {
        let mut connections = 0;
        let mut deadline = Instant::now() + PATIENCE;
        while self.ended.len() < self.journal.topics.len() {
            let mut cut = Instant::now() + Duration::from_millis(fastrand::u64(100..3_000));
            if calm.is_cancelled() {
                assert!(Instant::now() < deadline, "client {} misses the end", self.number);
                cut = Instant::now() + PATIENCE;
            } else {
                deadline = cut + PATIENCE;
            }
            let address = self.addresses[fastrand::usize(..3)];
            connections += 1;
            _ = timeout_at(cut, self.read(address)).await;
            self.journal.reconnect();
        }
        (self.journal, connections)
    }

    async fn read(&mut self, address: SocketAddr) {
        let last = self.last.clone();
        let header = last.as_deref().map(|last| ("last-event-id", last));
        let mut body = get(address, &self.path, header.as_slice()).await.into_body();
        let mut decoder = Decoder::new();
        while let Some(frame) = body.frame().await {
            let mut bytes: Bytes = frame.unwrap().into_data().unwrap_or_default();
            while let Some(message) = decoder.decode(&mut bytes).unwrap() {
                self.record(&message);
            }
            if self.ended.len() == self.journal.topics.len() {
                return;
            }
        }
    }

    fn record(&mut self, message: &Message) {
        self.last = Some(message.last_event_id.to_string());
        if message.event == "hello" {
            self.journal.start = sequence(&message.last_event_id);
            return;
        }
        let received = Received::now(message);
        if received.is_end() {
            self.ended.push(received.topic);
        }
        self.journal.messages.push(received);
    }
}
