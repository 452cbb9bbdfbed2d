//! Topics that end while other processes publish to them.

use crate::*;

#[tokio::test]
async fn end_is_one_entry() {
    let Some((server, hub)) = hub_of(Server::start().await).await else { return };
    let ends = (0..20).map(|job| {
        let hub = hub.clone();
        async move { hub.end(format!("job:{job}"), "last").await.unwrap() }
    });
    join_all(ends).await;
    // The marker of the new stream, and the events.
    assert_eq!(server.length().await, 1 + 20);
}

#[tokio::test]
async fn process_that_starts_later_knows_the_end() {
    let Some(server) = Server::start().await else { return };
    let one = Hub::connect(server.broker()).await.unwrap();
    one.publish("a", "1").await.unwrap();
    let last = one.end("a", "2").await.unwrap();
    let late = Hub::connect(server.broker()).await.unwrap();
    assert!(matches!(late.publish("a", "3").await, Err(PublishError::Ended)));
    let mut client = Client::resume(&late, &["a"], Some(last.id().into()));
    assert!(client.try_next().await.is_none());
}
