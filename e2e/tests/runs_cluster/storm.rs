//! Clients whose connections are cut at random bytes, and which reconnect to any process.

use std::time::Instant;

use super::cluster::PROCESSES;
use crate::*;

/// Reads many runs, each with two clients. Every seventh run has no pauses between its events.
async fn storm(runs: usize) {
    let Some(cluster) = Cluster::start().await else { return };
    let addresses = cluster.addresses();
    let started = Instant::now();
    let mut connections = 0;
    // A hundred runs are read at a time.
    for batch in (0..runs).collect::<Vec<_>>().chunks(100) {
        let clients = batch.iter().flat_map(|run| [*run; 2]).map(async |run| {
            let (events, gap) = if run % 7 == 0 { (2_000, 0) } else { (60, 5) };
            let mut client = Client::of_turn(&format!("storm-{run}"), events, gap);
            client.read_all(&addresses, events as usize * 10, 6).await;
            client.assert_whole(events);
            client.connections
        });
        connections += join_all(clients).await.into_iter().sum::<usize>();
    }
    for run in 0..runs {
        assert_eq!(cluster.calls(&format!("storm-{run}")), 1, "{run}");
    }
    // Each process has a channel of its own, and all processes share another.
    let channels = async || cluster.redis.command::<Vec<String>>("PUBSUB CHANNELS").await.len();
    until_async(async || channels().await == PROCESSES + 1).await;
    println!("{runs} runs, {connections} connections, {:?}", started.elapsed());
}

#[tokio::test]
async fn every_event_arrives_once_over_connections_that_are_cut() {
    storm(50).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs-cluster"]
async fn every_event_of_2000_runs_arrives_once() {
    storm(2_000).await;
}
