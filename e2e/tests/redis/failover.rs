//! A replica that lags takes the place of the server.

use crate::*;

#[tokio::test]
async fn promoted_replica_that_lags_is_one_gap_in_each_process() {
    let Some(mut server) = Server::start().await else { return };
    let Some(replica) = Server::start().await else { return };
    let link = Proxy::start(server.port()).await;
    // Where the processes find the server: one is up to date, and one is behind.
    let proxies = [Proxy::start(server.port()).await, Proxy::start(server.port()).await];
    let mut ahead = Process::connect(proxies[0].broker()).await;
    let mut behind = Process::connect(proxies[1].broker()).await;

    let first = ahead.publish([0]).await;
    for process in [&mut ahead, &mut behind] {
        process.has_read(first).await;
        process.reads([0]).await;
    }
    let _: String = replica.command(&format!("REPLICAOF 127.0.0.1 {}", link.port())).await;
    _ = ahead.publish(1..5).await;
    until_async(async || replica.length().await == server.length().await).await;
    proxies[1].hold();
    link.hold();
    _ = ahead.publish_and_read(5..10).await;
    _ = behind.publish(10..12).await;
    until(|| ahead.hub.stats().events == 12).await;

    server.kill();
    link.switch_to(free_port());
    let _: String = replica.command("REPLICAOF NO ONE").await;
    proxies[1].lose();
    for proxy in &proxies {
        proxy.switch_to(replica.port());
    }
    _ = ahead.publish([12]).await;
    _ = behind.publish([13]).await;
    ahead.reads(1..12).await;
    behind.reads(1..5).await;
    for process in [&mut ahead, &mut behind] {
        process.reads_after_a_gap([12, 13]).await;
        assert_eq!(process.stats.losses(), 1);
    }
}

/// The server becomes a replica of its successor while the process stays connected to it.
#[tokio::test]
async fn demoted_server_takes_no_events_and_loses_none_in_silence() {
    let Some(server) = Server::start().await else { return };
    let Some(other) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let mut process = Process::connect(proxy.broker()).await;
    _ = process.publish_and_read(0..5).await;
    server.has_waiting_reader().await;
    let _: String = server.command(&format!("REPLICAOF 127.0.0.1 {}", other.port())).await;
    until(|| !process.health.is_ready()).await;
    proxy.switch_to(other.port());
    _ = process.publish([5]).await;
    process.reads_around_a_gap(0..5, [5]).await;
    assert_eq!(process.stats.losses(), 1);
}
