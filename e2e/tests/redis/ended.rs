//! Topics that end while other processes publish to them.

use crate::*;

#[tokio::test]
async fn end_is_one_entry() {
    let Some((server, hub)) = hub_of(Server::start().await).await else { return };
    let ends = (0..20).map(|job| {
        let hub = hub.clone();
        async move { hub.end(format!("job:{job}"), "last").await.unwrap() }
    });
    futures_util::future::join_all(ends).await;
    // The marker of the new stream, and the events.
    assert_eq!(server.length().await, 1 + 20);
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
    let [Ok(end)] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((&*end.event, &*end.data), ("done", "2"));
}

/// The process that starts later does not know the end, and its event is acknowledged.
#[tokio::test]
async fn event_after_a_restart_without_data_begins_an_ended_topic_anew() {
    let Some(mut pair) = Pair::start(Server::start().await).await else { return };
    let end = pair.ahead.hub.end("a", "last").await.unwrap().id();
    until(|| pair.behind.hub.position() == end).await;
    let older = [&pair.ahead.hub, &pair.behind.hub].map(Hub::clone);
    let mut of_two =
        older.each_ref().map(|hub| Client::resume(hub, &["a", "b"], Some(end.clone().into())));
    pair.restart_server().await;
    pair.are_following().await;
    for hub in &older {
        assert!(matches!(hub.publish("a", "x").await, Err(PublishError::Ended)));
    }
    let late = Hub::connect(pair.server.broker()).await.unwrap();
    let anew = late.publish("a", "anew").await.unwrap().id();
    for (hub, client) in older.iter().zip(&mut of_two) {
        let mut returned = Client::resume(hub, &["a"], Some(end.clone().into()));
        client.gap("a").await;
        client.gap("b").await;
        returned.gap("a").await;
        assert_eq!(
            (client.data(1).await, returned.data(1).await),
            (vec!["anew".into()], vec!["anew".into()])
        );
        assert!(!hub.subscribe_to("a").resume(LastEventId::from(anew.clone())).has_ended());
        publish(hub, "a", "next").await;
    }
    let last = late.end("a", "last").await.unwrap().id();
    for (hub, client) in older.iter().zip(&mut of_two) {
        assert_eq!(client.data(3).await, ["next", "next", "last"]);
        assert!(hub.subscribe_to("a").resume(LastEventId::from(last.clone())).has_ended());
    }
}
