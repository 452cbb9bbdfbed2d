//! Topics that end while other processes publish to them.

use std::time::Duration;

use tower_sse::{
    Event,
    hub::{Hub, PublishError},
};

use crate::*;

/// Returns the data of all messages until the stream ends.
async fn rest(client: &mut Client) -> Vec<String> {
    let mut rest = Vec::new();
    while let Some(message) = client.try_next().await {
        assert_ne!(message.event, "gap");
        rest.push(message.data);
    }
    rest
}

/// Asserts that all clients receive the accepted events in one order, and the end after them.
async fn agree(mut clients: Vec<Client>, mut accepted: Vec<String>, race: usize) {
    let first = rest(&mut clients[0]).await;
    assert_eq!(first.last().map(String::as_str), Some("last"));
    let mut received = first[..first.len() - 1].to_vec();
    received.sort();
    accepted.sort();
    assert_eq!(received, accepted, "race {race}: those that were accepted, and no other");
    for client in &mut clients[1..] {
        assert_eq!(rest(client).await, first, "race {race}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_processes_agree_on_what_came_before_the_end() {
    const RACES: usize = 200;
    let Some(server) = Server::start().await else { return };
    let mut hubs = Vec::new();
    for _ in 0..3 {
        hubs.push(Hub::connect(server.broker()).await.unwrap());
    }
    let (mut accepted, mut refused) = (0, 0);
    for race in 0..RACES {
        let topic = format!("job:{race}");
        let clients: Vec<_> = hubs.iter().map(|hub| Client::connect(hub, &[&topic])).collect();
        let published = tokio::spawn({
            let (hub, topic) = (hubs[1].clone(), topic.clone());
            async move {
                for number in 0.. {
                    match hub.publish(&topic, number.to_string()).await {
                        Ok(_) => {}
                        Err(PublishError::Ended) => return number,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                unreachable!("the topic ends");
            }
        });
        for _ in 0..race {
            tokio::task::yield_now().await;
        }
        let other = hubs[2].publish(&topic, "other");
        let (ended, other) = tokio::join!(hubs[0].end(&topic, Event::from("last")), other);
        ended.unwrap();
        let number: usize = published.await.unwrap();
        let mut expected: Vec<_> = (0..number).map(|number| number.to_string()).collect();
        match other {
            Ok(_) => {
                expected.push("other".to_owned());
                accepted += 1;
            }
            Err(PublishError::Ended) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
        agree(clients, expected, race).await;
    }
    assert!(accepted + refused == RACES && refused > 0, "{accepted} accepted, {refused} refused");
}

/// Publishes numbers until the topic has ended, and returns those that were accepted.
async fn publish_until_the_end(hub: Hub, topic: &'static str, publisher: usize) -> Vec<String> {
    let mut accepted = Vec::new();
    for number in 0.. {
        let data = format!("{publisher}:{number}");
        match hub.publish(topic, data.clone()).await {
            Ok(_) => accepted.push(data),
            Err(PublishError::Ended) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    accepted
}

/// Without an announcement, no process waits for its own events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_end_of_a_stream_is_announced_to_all_processes() {
    const RACES: usize = 20;
    const PUBLISHERS: usize = 8;
    let Some(server) = Server::start().await else { return };
    for race in 0..RACES {
        let key = format!("race:{race}");
        // A process that has read only the last seconds cannot know that no end was announced.
        let minute_ago = server.now().await - 60_000;
        let _: String = server.command(&format!("XADD {key} {minute_ago}-0 topic b data x")).await;
        let mut hubs = Vec::new();
        for _ in 0..3 {
            // With a pause, the others publish before they have read the end.
            let broker = server.broker().key(&key).pause(Duration::from_millis(20));
            hubs.push(Hub::connect(broker).await.unwrap());
        }
        let clients: Vec<_> = hubs.iter().map(|hub| Client::connect(hub, &["a"])).collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|number| {
                let hub = hubs[1 + number % 2].clone();
                tokio::spawn(publish_until_the_end(hub, "a", number))
            })
            .collect();
        hubs[0].end("a", "last").await.unwrap();
        let mut expected = Vec::new();
        for publisher in publishers {
            expected.append(&mut publisher.await.unwrap());
        }
        agree(clients, expected, race).await;
    }
}

/// A process that starts does not know whether the last entry before its history is an announcement.
#[tokio::test]
async fn announcement_before_the_history_of_a_process_counts_there() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    for race in 0..5 {
        let key = format!("race:{race}");
        let second_ago = server.now().await - 1_000;
        let _: String = server.command(&format!("XADD {key} {second_ago}-0 end x")).await;
        let other = Hub::connect(server.broker().key(&key)).await.unwrap();
        let late = Hub::builder().retain_for(Duration::from_millis(500));
        let late = late.connect(proxy.broker().key(&key)).await.unwrap();
        let newest = other.publish("b", "x").await.unwrap();
        until(|| late.position() == newest.id()).await;
        // It receives the acknowledgement of its event before it reads the end.
        proxy.delay(Duration::from_millis(30));
        other.end("a", "last").await.unwrap();
        let published = late.publish("a", "late").await;
        assert!(matches!(published, Err(PublishError::Ended)), "race {race}: {published:?}");
        proxy.delay(Duration::ZERO);
    }
}

#[tokio::test]
async fn one_announcement_is_enough_for_all_ends_of_some_seconds() {
    let Some((server, hub)) = hub_of(Server::start().await).await else { return };
    let ends = (0..20).map(|job| {
        let hub = hub.clone();
        async move { hub.end(format!("job:{job}"), "last").await.unwrap() }
    });
    futures_util::future::join_all(ends).await;
    let other = Hub::connect(server.broker()).await.unwrap();
    for job in 20..40 {
        other.end(format!("job:{job}"), "last").await.unwrap();
    }
    // The marker of the new stream, the announcement, and the events.
    assert_eq!(server.length().await, 1 + 1 + 40);
}

#[tokio::test]
async fn process_that_starts_later_knows_the_end() {
    let Some(server) = Server::start().await else { return };
    let one = Hub::connect(server.broker()).await.unwrap();
    one.publish("a", "1").await.unwrap();
    let last = one.end("a", Event::new().event("done").data("2")).await.unwrap();
    let late = Hub::connect(server.broker()).await.unwrap();
    assert!(matches!(late.publish("a", "3").await, Err(PublishError::Ended)));
    let mut client = Client::resume(&late, &["a"], Some(last.id().into()));
    assert!(client.try_next().await.is_none());
    let subscription = late.subscribe_to("a").recent(1).resume(None);
    let messages: Vec<_> = futures_util::StreamExt::collect(subscription.messages()).await;
    assert_eq!(messages.len(), 1);
    assert_eq!((&*messages[0].event, &*messages[0].data), ("done", "2"));
}

#[tokio::test]
async fn name_is_free_in_all_processes_by_the_time_of_the_log() {
    let Some(server) = Server::start().await else { return };
    let second = Duration::from_secs(1);
    let connect = || Hub::builder().retain_for(second).connect(server.broker());
    let hubs: [Hub; 2] = [connect().await.unwrap(), connect().await.unwrap()];
    hubs[0].end("a", "1").await.unwrap();
    let receipt = loop {
        match hubs[1].publish("a", "2").await {
            Ok(receipt) => break receipt,
            Err(PublishError::Ended) => tokio::task::yield_now().await,
            Err(error) => panic!("{error:?}"),
        }
    };
    until(|| hubs.iter().all(|hub| hub.position() == receipt.id())).await;
    for hub in &hubs {
        let mut client = Client::connect(hub, &["a"]);
        hub.publish("a", "3").await.unwrap();
        assert_eq!(client.data(1).await, ["3"]);
    }
}
