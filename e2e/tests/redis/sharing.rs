//! The events and ids that hubs of several processes share.

use crate::*;

#[tokio::test]
async fn keys_are_separate_hubs() {
    let Some(server) = Server::start().await else { return };
    let one = Hub::connect(server.redis().broker("one")).await.unwrap();
    let other = Hub::connect(server.redis().broker("other")).await.unwrap();
    let receipt = one.publish("a", "x").await.unwrap();
    let mut client = Client::resume(&other, &["a"], Some(receipt.id().into()));
    // An id of another hub.
    _ = other.publish("a", "y").await.unwrap();
    client.gap("a").await;
    assert_eq!(client.data(1).await, ["y"]);
}

#[tokio::test]
async fn reader_ends_with_its_hub() {
    let Some((server, hub)) = hub_of(Server::start().await).await else { return };
    let closed = Hub::connect(server.broker()).await.unwrap();
    let count = || async { server.command::<String>("CLIENT LIST").await.lines().count() };
    assert_eq!(count().await, 5, "two for each hub, and the operator's own");
    drop(hub);
    closed.close();
    until_async(async || count().await == 1).await;
}

#[tokio::test]
async fn unreachable_server_is_an_error() {
    let broker = Redis::open(&format!("redis://127.0.0.1:{}/", free_port())).unwrap().broker(KEY);
    let health = broker.health();
    let error = Hub::connect(broker).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to connect to Redis");
    assert!(!health.is_ready());
    assert!(health.last_error().unwrap().contains("refused"), "{health:?}");
}

#[test]
fn invalid_url_is_an_error() {
    for url in ["", "http://127.0.0.1/", "redis://", "127.0.0.1:6379"] {
        let error = Redis::open(url).unwrap_err();
        assert_eq!(error.to_string(), "failed to parse the Redis URL", "{url}");
    }
}
