//! The permissions that the documentation lists.

use crate::*;

/// Returns the command of the documentation.
fn documented() -> &'static str {
    let page = include_str!("../../../crates/tower-sse-redis/docs/running.md");
    let line = page.lines().find(|line| line.contains("ACL SETUSER"));
    line.expect("a command").trim_start_matches("//! ")
}

#[tokio::test]
async fn documented_permissions_are_enough() {
    let Some(server) = Server::start().await else { return };
    assert_eq!(server.command::<String>(documented()).await, "OK");
    let url = server.url().replace("//", "//app:password@");
    let connect = async || {
        let broker = patient(Redis::open(&url).unwrap()).max_age(Duration::from_secs(3_600));
        let (health, stats) = (broker.health(), broker.stats());
        (Hub::connect(broker).await.unwrap(), health, stats)
    };
    let (hub, health, stats) = connect().await;
    let mut client = Client::connect(&hub, &["a"]);
    _ = hub.publish("a", "1").await.unwrap();
    assert_eq!(client.data(1).await, ["1"]);
    // Each command of the protocol: a loss, an end, an idle stream, and a history.
    assert_eq!(server.command::<u32>("DEL tower-sse").await, 1);
    _ = hub.publish("a", "2").await.unwrap();
    client.gap("a").await;
    assert_eq!(client.data(1).await, ["2"]);
    hub.end("job", "done").await.unwrap();
    // Connecting asks for the time too.
    assert_eq!(server.command::<String>("CONFIG RESETSTAT").await, "OK");
    let asks_for_the_time = async || {
        let stats = server.command::<String>("INFO commandstats").await;
        stats.contains("cmdstat_time:")
    };
    until_async(asks_for_the_time).await;
    let (other, ..) = connect().await;
    assert_eq!(other.stats().events, 2);
    until(|| health.is_ready()).await;
    assert_eq!(health.last_error(), None);
    assert!(stats.stream().unwrap().memory.is_some());
    let denied = server.command::<Vec<redis::Value>>("ACL LOG").await;
    assert_eq!(denied, [], "an operator would see these");

    // The check of permissions is on: with one less, connecting fails.
    let less = documented().replace("app", "less").replace(" +eval", "");
    assert_eq!(server.command::<String>(&less).await, "OK");
    let url = server.url().replace("//", "//less:password@");
    let error = Hub::connect(Redis::open(&url).unwrap().broker(KEY)).await.unwrap_err();
    assert!(format!("{error:?}").contains("eval"), "{error:?}");
}
