//! Topics that end while other processes publish to them.

use std::time::Duration;

use tower_sse::{
    Event,
    hub::{Hub, PublishError},
};

use crate::{client::Client, server::Server, until};

/// Returns the data of all messages until the stream ends.
async fn rest(client: &mut Client) -> Vec<String> {
    let mut rest = Vec::new();
    while let Some(message) = client.try_next().await {
        assert_ne!(message.event, "gap");
        rest.push(message.data);
    }
    rest
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
        let mut clients: Vec<_> = hubs.iter().map(|hub| Client::connect(hub, &[&topic])).collect();
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
        let first = rest(&mut clients[0]).await;
        assert_eq!(first.last().map(String::as_str), Some("last"));
        let mut sorted = first[..first.len() - 1].to_vec();
        sorted.sort();
        expected.sort();
        assert_eq!(sorted, expected, "race {race}: those that were accepted, and no other");
        for client in &mut clients[1..] {
            assert_eq!(rest(client).await, first, "race {race}");
        }
    }
    assert!(accepted + refused == RACES && refused > 0, "{accepted} accepted, {refused} refused");
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
