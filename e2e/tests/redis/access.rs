//! Connecting to a server or cluster: passwords, users, permissions and the newer protocol.

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

/// Valkey 8 and later name the mode differently from Redis.
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

/// The server that the cluster named dies, and another one takes over the key.
#[tokio::test]
async fn server_that_a_cluster_named_is_not_the_only_one() {
    let Some(Nodes { mut nodes, owner, slot }) = Nodes::start(KEY).await else { return };
    let other = (owner + 1) % nodes.len();
    let mut process = Process::connect(nodes[other].broker()).await;
    process.delivers([0]).await;
    nodes[owner].kill();
    // What a failover does, but without the data.
    let _: String = nodes[other].command(&format!("CLUSTER DELSLOTS {slot}")).await;
    let _: String = nodes[other].command(&format!("CLUSTER ADDSLOTS {slot}")).await;
    _ = process.publish([1]).await;
    process.reads_after_a_gap([1]).await;
}

// The permissions that the documentation lists.

#[tokio::test]
async fn documented_permissions_are_enough() {
    let Some(server) = Server::start().await else { return };
    let page = include_str!("../../../crates/tower-sse-redis/docs/running.md");
    let documented = page.lines().find(|line| line.contains("ACL SETUSER")).expect("a command");
    assert_eq!(server.command::<String>(documented).await, "OK");
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
    assert!(health.last_error().is_none());
    assert!(stats.log().unwrap().bytes.is_some());
    let denied = server.command::<Vec<redis::Value>>("ACL LOG").await;
    assert_eq!(denied, [], "an operator would see these");
    // Another key is none of its own.
    let error = Hub::connect(Redis::open(&url).unwrap().broker("other")).await.unwrap_err();
    assert!(format!("{error:?}").contains("NoPerm"), "{error:?}");
}

// Connecting, and leaving.

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
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(!health.is_ready());
    assert!(health.last_error().unwrap().to_string().contains("refused"), "{health:?}");
}

/// The client of Redis does not tell hubs why it cannot connect.
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
