//! Topics in which each event replaces the one before it, and the trimming of the stream.

use crate::*;

const MAX_LEN: usize = 10_000;
const TOPICS: [&str; 2] = ["quiet", "busy"];

async fn connect(server: &Server) -> Hub {
    let broker: RedisBroker = server.broker().max_events(MAX_LEN);
    Hub::builder().retention(Retention::latest()).connect(broker).await.unwrap()
}

/// Publishes enough values of the busy topic that the stream is trimmed up to the first of them, and
/// waits until the hub has received the newest.
async fn publish_busy(hub: &Hub) {
    // Redis trims whole nodes of 100 entries.
    let publishes = (0..MAX_LEN + 200).map(|_| hub.publish("busy", "old"));
    let receipts: Vec<Receipt> = stream::iter(publishes).buffered(500).try_collect().await.unwrap();
    assert_eq!(receipts.len(), MAX_LEN + 200);
    let newest = hub.publish("busy", "new").await.unwrap();
    until(|| hub.position() == newest.id()).await;
}

async fn received(hub: &Hub, last: Option<LastEventId>, count: usize) -> Vec<String> {
    let mut client = Client::resume(hub, &TOPICS, last);
    let mut received = Vec::new();
    for _ in 0..count {
        let message = client.next().await;
        received.push(format!("{} {}", message.event, message.data));
    }
    received
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn value_that_was_trimmed_is_missing_in_processes_that_start_later() {
    let Some(server) = Server::start().await else { return };
    let one = connect(&server).await;
    let before = one.publish("busy", "first").await.unwrap().id();
    _ = one.publish("quiet", "kept").await.unwrap();
    let quiet = server.newest().await;
    publish_busy(&one).await;
    let trimmed: Vec<redis::Value> = server.command(&format!("XRANGE tower-sse - {quiet}")).await;
    assert!(trimmed.is_empty(), "the only copy in Redis is trimmed");

    let late = connect(&server).await;
    let all = ["message kept", "message new"];
    assert_eq!(received(&one, None, 2).await, all);
    assert_eq!(received(&one, Some(before.clone().into()), 2).await, all);
    assert_eq!(received(&late, None, 1).await, all[1..]);
    let with_gaps = ["gap quiet", "gap busy", "message new"];
    assert_eq!(received(&late, Some(before.into()), 3).await, with_gaps);
    // A client that has read an entry which the stream still has.
    let recent = LastEventId::from(one.position());
    late.publish("busy", "newer").await.unwrap();
    assert_eq!(received(&late, Some(recent), 1).await, ["message newer"]);

    one.publish("quiet", "again").await.unwrap();
    let all = ["message newer", "message again"];
    assert_eq!(received(&connect(&server).await, None, 2).await, all);
}
