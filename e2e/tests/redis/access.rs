//! Passwords, users, the newer protocol, and clusters.

use tokio::time::{Instant, sleep};
use tower_sse::{hub::Hub, redis::Redis};

use crate::{PATIENCE, process::Process, server::Server, support::free_port};

#[tokio::test]
async fn password_is_required() {
    let Some(server) = Server::start().await else { return };
    let _: String = server.command("CONFIG SET requirepass secret").await;
    for (credentials, reason) in [("", "NOAUTH"), (":wrong@", "AuthenticationFailed")] {
        let url = format!("redis://{credentials}127.0.0.1:{}/", server.port());
        let error = Hub::connect(Redis::open(url).unwrap()).await.unwrap_err();
        assert!(format!("{error:?}").contains(reason), "{error:?}");
        assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
    }
    let url = format!("redis://:secret@127.0.0.1:{}/", server.port());
    publishes_and_reads(Redis::open(url).unwrap()).await;
}

/// The commands that the documentation lists are enough.
#[tokio::test]
async fn user_needs_few_rights() {
    let Some(server) = Server::start().await else { return };
    let rights = "+xadd +xlen +xrange +xrevrange +xread +eval +time +info";
    let _: String =
        server.command(&format!("ACL SETUSER hub on >secret ~tower-sse {rights}")).await;
    let url = format!("redis://hub:secret@127.0.0.1:{}/", server.port());
    publishes_and_reads(Redis::open(&url).unwrap()).await;
    // Another key is none of its own.
    let error = Hub::connect(Redis::open(&url).unwrap().key("other")).await.unwrap_err();
    assert!(format!("{error:?}").contains("NoPerm"), "{error:?}");
}

#[tokio::test]
async fn newer_protocol_and_another_database_work() {
    let Some(server) = Server::start().await else { return };
    let url = format!("redis://127.0.0.1:{}/3?protocol=resp3", server.port());
    publishes_and_reads(Redis::open(url).unwrap()).await;
}

#[tokio::test]
async fn cluster_is_used_from_any_of_its_servers() {
    let Some((nodes, owner)) = start_cluster().await else { return };
    publishes_and_reads(nodes[owner].broker()).await;
    publishes_and_reads(nodes[1 - owner].broker()).await;
}

/// The server that the cluster named dies, and another one takes over the key.
#[tokio::test]
async fn server_that_a_cluster_named_is_not_the_only_one() {
    let Some((mut nodes, owner)) = start_cluster().await else { return };
    let other = 1 - owner;
    let mut process = Process::connect(nodes[other].broker()).await;
    let last = process.publish([0]).await;
    process.has_read(last).await;
    process.reads([0]).await;
    nodes[owner].kill();
    // What a fail-over does, but without the data.
    let slot: u16 = nodes[other].command("CLUSTER KEYSLOT tower-sse").await;
    let _: String = nodes[other].command(&format!("CLUSTER DELSLOTS {slot}")).await;
    let _: String = nodes[other].command(&format!("CLUSTER ADDSLOTS {slot}")).await;
    _ = process.publish([1]).await;
    process.reads_gap().await;
    process.reads([1]).await;
}

async fn publishes_and_reads(broker: Redis) {
    let mut process = Process::connect(broker).await;
    _ = process.publish(0..3).await;
    process.reads(0..3).await;
    assert!(process.health.is_following(), "{:?}", process.health);
}

/// Returns two servers of a cluster, and the index of the one that has the key.
async fn start_cluster() -> Option<([Server; 2], usize)> {
    let ports = [free_port(), free_port()];
    let mut nodes = Vec::new();
    for port in ports {
        let port = port.to_string();
        let options = [
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &port,
            "--cluster-require-full-coverage",
            "no",
            "--cluster-allow-reads-when-down",
            "yes",
        ];
        nodes.push(Server::start_with(&options).await?);
    }
    let nodes: [Server; 2] = nodes.try_into().ok()?;
    for (node, slots) in nodes.iter().zip(["0 8191", "8192 16383"]) {
        let _: String = node.command(&format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
    }
    let (port, bus) = (nodes[1].port(), ports[1]);
    let _: String = nodes[0].command(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}")).await;
    let deadline = Instant::now() + PATIENCE;
    for node in &nodes {
        let is_complete = |info: &str| {
            info.contains("cluster_state:ok") && info.contains("cluster_slots_assigned:16384")
        };
        while !is_complete(&node.command::<String>("CLUSTER INFO").await) {
            assert!(Instant::now() < deadline, "no cluster");
            sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    let slot: u16 = nodes[0].command("CLUSTER KEYSLOT tower-sse").await;
    Some((nodes, usize::from(slot > 8191)))
}
