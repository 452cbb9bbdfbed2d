//! Connecting to a server or cluster: passwords, users, permissions, RESP3, and the limit of
//! connections.

use crate::*;

#[tokio::test]
async fn password_is_required() {
    let Some(server) = Server::start().await else { return };
    let _: String = server.command("CONFIG SET requirepass secret").await;
    for (credentials, reason) in [("", "NOAUTH"), (":wrong@", "AuthenticationFailed")] {
        let url = format!("redis://{credentials}127.0.0.1:{}/", server.port());
        let error = Hub::connect(patient(Redis::open(&url).unwrap())).await.unwrap_err();
        assert!(format!("{error:?}").contains(reason), "{error:?}");
        assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
    }
    let url = format!("redis://:secret@127.0.0.1:{}/", server.port());
    publishes_and_reads(patient(Redis::open(&url).unwrap())).await;
}

#[tokio::test]
async fn newer_protocol_and_another_database_work() {
    let Some(server) = Server::start().await else { return };
    let url = format!("redis://127.0.0.1:{}/3?protocol=resp3", server.port());
    publishes_and_reads(patient(Redis::open(&url).unwrap())).await;
}

/// In `INFO`, Valkey 8 and later call the mode `server_mode` instead of `redis_mode`.
#[tokio::test]
async fn replica_in_a_cluster_of_valkey_redirects_a_hub() {
    let Some(cluster) = Nodes::start(KEY).await else { return };
    let other = &cluster.nodes[(cluster.owner + 1) % cluster.nodes.len()];
    let replica = as_replica_of_valkey(other).await;
    let redis = Redis::open(&format!("redis://{}/", replica.address)).unwrap();
    let refused = Runs::builder().connect(redis.runs("app")).await.unwrap_err();
    assert!(refused.to_string().contains("cluster"), "{refused}");
    publishes_and_reads(patient(redis)).await;
}

/// The lines of the crate's page, with the address and the port of the test.
#[tokio::test]
async fn documented_configuration_serves_a_hub() {
    let page = include_str!("../../../crates/tower-sse-redis/src/lib.rs");
    let lines = page.lines().skip_while(|line| !line.ends_with("```text")).skip(1);
    let lines = lines.map(|line| line.trim_start_matches("//!").trim_start());
    let lines = lines.take_while(|line| *line != "```");
    let settings = lines.filter(|line| !line.starts_with('#') && !line.starts_with("bind "));
    let options = settings.map(|line| format!("--{line}")).collect::<Vec<_>>().join(" ");
    let options: Vec<_> = options.split(' ').collect();
    let Some(mut server) = Server::prepare(&options) else { return };
    server.spawn();
    let url = server.url().replace("//", "//app:password@");
    let deadline = Instant::now() + PATIENCE;
    let hub = loop {
        let redis = Redis::open(&url).unwrap();
        match Hub::connect(redis.broker("notifications")).await {
            Ok(hub) => break hub,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}"),
        }
        assert!(Instant::now() < deadline, "redis-server does not accept {options:?}");
        sleep(Duration::from_millis(10)).await;
    };
    let mut client = Client::connect(&hub, &["a"]);
    _ = hub.publish("a", "1").await.unwrap();
    assert_eq!(client.data(1).await, ["1"]);
    let refused = Hub::connect(server.redis().broker("notifications")).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::NotPermitted, "{refused:?}");
}

#[tokio::test]
async fn documented_permissions_are_enough() {
    let Some(server) = Server::start().await else { return };
    let page = include_str!("../../../crates/tower-sse-redis/docs/running.md");
    let documented = page.lines().find(|line| line.contains("ACL SETUSER")).expect("a command");
    // The key of the tests.
    let command = documented.replace("~app:events", "~tower-sse");
    assert_eq!(server.command::<String>(&command).await, "OK");
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
    // Some commands are sent only after a loss, for an end, while a stream is idle, or to load a
    // history.
    assert_eq!(server.command::<u32>("DEL tower-sse").await, 1);
    _ = hub.publish("a", "2").await.unwrap();
    client.gap("a").await;
    assert_eq!(client.data(1).await, ["2"]);
    hub.end("job", "done").await.unwrap();
    // Connecting has called `TIME` too, so the counts of commands are reset first.
    assert_eq!(server.command::<String>("CONFIG RESETSTAT").await, "OK");
    let asks_for_the_time = async || {
        let stats = server.command::<String>("INFO commandstats").await;
        stats.contains("cmdstat_time:")
    };
    until_async(asks_for_the_time).await;
    let (other, ..) = connect().await;
    assert_eq!(other.stats().events, 2);
    until(|| health.is_ready()).await;
    assert!(health.last_error().is_none());
    assert!(stats.log().unwrap().bytes.is_some());
    let denied = server.command::<Vec<redis::Value>>("ACL LOG").await;
    assert_eq!(denied, [], "an operator would see these");
    // The user may not use another key.
    let error = Hub::connect(Redis::open(&url).unwrap().broker("other")).await.unwrap_err();
    assert!(format!("{error:?}").contains("NoPerm"), "{error:?}");
}

/// The `redis` crate does not tell hubs why a connection fails. So hubs report `Unreachable`, or
/// `NotPermitted` if their URL has a password.
#[tokio::test]
async fn limit_of_connections_is_a_lack_of_resources_for_runs() {
    let Some(server) = Server::start().await else { return };
    let mut operator = server.try_connect().await.unwrap();
    let mut limit = redis::cmd("CONFIG");
    limit.arg(&["SET", "maxclients", "1"]);
    let _: String = limit.query_async(&mut operator).await.unwrap();
    until_async(async || {
        let error = Runs::connect(server.redis().runs("app")).await.unwrap_err();
        error.kind() == ErrorKind::OutOfResources
    })
    .await;
    for (url, kind) in [
        (server.url(), ErrorKind::Unreachable),
        (server.url().replace("//", "//:password@"), ErrorKind::NotPermitted),
    ] {
        let hub = Redis::open(&url).unwrap();
        until_async(async || Hub::connect(hub.broker(KEY)).await.unwrap_err().kind() == kind).await;
    }
}

#[test]
fn invalid_url_is_an_error() {
    for url in ["", "http://127.0.0.1/", "redis://", "127.0.0.1:6379"] {
        let error = Redis::open(url).unwrap_err();
        assert!(error.to_string().starts_with("failed to parse the Redis URL: "), "{url}: {error}");
    }
}
