//! Trimming by time.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_sse::{
    hub::Hub,
    redis::{Redis, RedisHealth},
};

use crate::*;

const AGE: Duration = Duration::from_secs(1);

async fn connect(broker: Redis) -> (Hub, RedisHealth) {
    connect_for(broker, AGE).await
}

async fn connect_for(broker: Redis, age: Duration) -> (Hub, RedisHealth) {
    let health = broker.health();
    let hub = Hub::builder().retain_for(age).connect(broker.max_age(age)).await.unwrap();
    (hub, health)
}

/// Waits for so long by the server's clock.
async fn pass(server: &Server, time: Duration) {
    let later = server.now().await + time.as_millis() as u64;
    let deadline = Instant::now() + PATIENCE;
    while server.now().await < later {
        assert!(Instant::now() < deadline, "the server's clock stands still");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the stream has been trimmed, whether or not entries were too old.
async fn is_surveyed(server: &Server) {
    let calls = async || {
        let stats = server.command::<String>("INFO commandstats").await;
        let calls = stats.split_once("cmdstat_xtrim:calls=").map(|(_, rest)| rest.to_owned());
        calls.map_or(0, |rest| rest.split(',').next().unwrap().parse::<u64>().unwrap())
    };
    let before = calls().await;
    let deadline = Instant::now() + PATIENCE;
    // The first may have begun earlier.
    while calls().await < before + 2 {
        assert!(Instant::now() < deadline, "not surveyed");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the stream has only one entry.
async fn is_trimmed(server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    while server.length().await > 1 {
        assert!(Instant::now() < deadline, "not trimmed");
    }
}

#[tokio::test]
async fn old_entries_are_trimmed_without_a_gap() {
    let Some(server) = Server::start().await else { return };
    let (hub, health) = connect(server.broker()).await;
    let (other, other_health) = connect(server.broker()).await;
    let mut clients = [Client::connect(&hub, &["a"]), Client::connect(&other, &["a"])];
    for number in 0..5 {
        _ = publish(&hub, "a", &number.to_string()).await;
    }
    // The hubs keep events as long as Redis does.
    for client in &mut clients {
        assert_eq!(client.data(5).await, ["0", "1", "2", "3", "4"]);
    }
    is_trimmed(&server).await;
    // The newest entry stays, although it becomes old too, until it is not the newest.
    pass(&server, Duration::from_secs(4)).await;
    assert_eq!(server.length().await, 1);
    _ = publish(&other, "a", "5").await;
    for client in &mut clients {
        assert_eq!(client.data(1).await, ["5"]);
    }
    is_trimmed(&server).await;
    let (_, new_health) = connect(server.broker()).await;
    assert_eq!([health.losses(), other_health.losses(), new_health.losses()], [0; 3]);
    let entries: String =
        format!("{:?}", server.command::<redis::Value>("XRANGE tower-sse - +").await);
    assert!(entries.contains("topic") && !entries.contains("gap"), "{entries}");
}

/// A process that has read all entries before a silence finds its place after it, although the last
/// of them is too old by then.
#[tokio::test]
async fn first_entry_after_a_silence_is_no_gap_for_a_process_that_has_not_read_it() {
    const LONGER: Duration = Duration::from_secs(5);
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let (hub, health) = connect_for(server.broker(), LONGER).await;
    let (behind, behind_health) = connect_for(proxy.broker(), LONGER).await;
    let mut clients = [Client::connect(&hub, &["a"]), Client::connect(&behind, &["a"])];
    _ = publish(&hub, "a", "0").await;
    for client in &mut clients {
        assert_eq!(client.data(1).await, ["0"]);
    }
    pass(&server, LONGER).await;
    proxy.hold();
    _ = publish(&hub, "a", "1").await;
    is_surveyed(&server).await;
    proxy.lose();
    for client in &mut clients {
        assert_eq!(client.data(1).await, ["1"]);
    }
    assert_eq!([health.losses(), behind_health.losses()], [0, 0]);
}

/// The process that is cut off may have missed any of the trimmed entries.
#[tokio::test]
async fn entry_that_is_trimmed_before_a_process_has_read_it_is_a_gap_there() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let (hub, health) = connect(server.broker()).await;
    let (behind, behind_health) = connect(proxy.broker()).await;
    let mut clients = [Client::connect(&hub, &["a"]), Client::connect(&behind, &["a"])];
    _ = publish(&hub, "a", "0").await;
    for client in &mut clients {
        assert_eq!(client.data(1).await, ["0"]);
    }
    proxy.hold();
    _ = publish(&hub, "a", "1").await;
    _ = publish(&hub, "a", "2").await;
    assert_eq!(clients[0].data(2).await, ["1", "2"]);
    is_trimmed(&server).await;
    proxy.lose();
    until(|| behind_health.is_following() && behind_health.losses() > 0).await;
    _ = publish(&hub, "a", "3").await;
    assert_eq!(clients[0].data(1).await, ["3"]);
    clients[1].gap("a").await;
    // The hub may still have the newest entry of the time in which it was cut off.
    while let data = clients[1].next().await.data
        && data != "3"
    {
        assert!(["a", "2"].contains(&&*data), "{data}");
    }
    assert_eq!([health.losses(), behind_health.losses()], [0, 1]);
}

#[tokio::test]
async fn maximum_age_below_the_retention_of_the_hub_is_refused() {
    let Some(server) = Server::start().await else { return };
    let broker = server.broker().max_age(Duration::from_secs(299));
    let error = Hub::connect(broker).await.unwrap_err();
    assert!(format!("{error:?}").contains("`retain_for`"), "{error:?}");
    _ = Hub::connect(server.broker().max_age(Duration::from_secs(300))).await.unwrap();
}

/// The user may publish, and not trim.
#[tokio::test]
async fn missing_permission_to_trim_is_reported() {
    let Some(server) = Server::start().await else { return };
    let _: String = server.command("ACL SETUSER default -xtrim -memory").await;
    let (hub, health) = connect(server.broker()).await;
    let mut client = Client::connect(&hub, &["a"]);
    until(|| health.last_error().is_some_and(|error| error.contains("survey"))).await;
    _ = publish(&hub, "a", "0").await;
    assert_eq!(client.data(1).await, ["0"]);
    assert!(health.is_following());
    // Without trimming, it needs no permission.
    let Process { health, .. } = &Process::connect(server.broker()).await;
    until(|| health.stream().is_some()).await;
    let stream = health.stream().unwrap();
    assert_eq!((stream.memory(), health.last_error()), (None, None));
}
