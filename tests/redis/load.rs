//! The stream is deleted under load: publishers in both processes, and clients that move between
//! them.

use std::time::Duration;

use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::hub::Hub;

use crate::{
    client::Client,
    process::{Pair, publish},
    record::{Acknowledged, FIRST_END, Journal, Received, check, data, sequence},
    server::Server,
};

const CLIENTS: usize = 20;
const TOPICS: [&str; 3] = ["0", "1", "2"];

#[tokio::test]
async fn stream_deleted_under_load_is_one_gap_for_each_client_and_topic() {
    let Some(pair) = Pair::start(Server::start().await).await else { return };
    pair.proxy.delay(Duration::from_millis(50));
    let hubs = [pair.ahead.hub.clone(), pair.behind.hub.clone()];
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| Client::greeted(&hubs[client % 2], &TOPICS))
        .map(|client| tokio::spawn(read_all(hubs.clone(), client)))
        .collect();
    let stop = CancellationToken::new();
    let publishers: Vec<_> = (0..4)
        .map(|publisher| publish_until(stop.clone(), hubs[publisher % 2].clone(), publisher))
        .collect();

    let mut losses = Vec::new();
    for command in ["DEL tower-sse", "FLUSHALL", "UNLINK tower-sse", "FLUSHDB"] {
        sleep(Duration::from_millis(150)).await;
        losses.push(pair.server.now().await << 20);
        let _: redis::Value = pair.server.command(command).await;
    }
    sleep(Duration::from_millis(150)).await;
    stop.cancel();
    let mut acknowledged = Vec::new();
    for publisher in publishers {
        acknowledged.extend(publisher.await.unwrap());
    }
    for (topic, name) in TOPICS.iter().enumerate() {
        _ = publish(&hubs[0], name, &data(topic, FIRST_END + topic as u64)).await;
    }
    let mut journals = Vec::new();
    for client in clients {
        journals.push(client.await.unwrap());
    }
    let verdict = check(&acknowledged, &journals, &losses);
    verdict.assert_faultless();
    assert!(verdict.gaps > 0, "{verdict}");
}

fn publish_until(
    stop: CancellationToken,
    hub: Hub,
    publisher: usize,
) -> JoinHandle<Vec<Acknowledged>> {
    tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for number in 0.. {
            if stop.is_cancelled() {
                break;
            }
            let topic = fastrand::usize(..TOPICS.len());
            let number = ((publisher as u64) << 32) + number;
            let receipt = publish(&hub, TOPICS[topic], &data(topic, number)).await;
            let sequence = sequence(receipt.id().as_str());
            acknowledged.push(Acknowledged { topic, number, sequence });
            sleep(Duration::from_millis(2)).await;
        }
        acknowledged
    })
}

/// Reads until the end of each topic, and moves to the other hub after each few messages.
async fn read_all(hubs: [Hub; 2], mut reader: Client) -> Journal {
    let start = sequence(&reader.next().await.last_event_id);
    let mut journal = Journal { topics: vec![0, 1, 2], start, messages: Vec::new() };
    let mut ended = 0;
    loop {
        for _ in 0..fastrand::usize(1..40) {
            let received = Received::now(&reader.next().await);
            ended += usize::from(received.is_end());
            journal.messages.push(received);
            if ended == TOPICS.len() {
                return journal;
            }
        }
        journal.reconnect();
        reader.move_to(&hubs[fastrand::usize(..2)]);
    }
}
