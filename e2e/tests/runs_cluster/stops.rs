//! Stopping a run from another process than its own.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::*;

/// How long it takes at most until all clients of a stopped run know, in most runs. A busy machine
/// may exceed it now and then.
const AT_ONCE: Duration = Duration::from_millis(100);

async fn stop_ends_a_run_everywhere(runs: usize) {
    let Some(cluster) = Cluster::start().await else { return };
    let addresses = cluster.addresses();
    let mut delays = Vec::new();
    for run in 0..runs {
        // Every other run has no event for as long as the test takes.
        let gap = if run % 2 == 0 { 5 } else { 600_000 };
        let path = format!("/chat/stop-{run}?events=1000000&gap={gap}");
        let clients = [(0, Method::POST), (1, Method::GET), (2, Method::GET)];
        let mut progress: Vec<Progress> = Vec::new();
        let clients: Vec<_> = clients
            .into_iter()
            .map(|(at, method)| {
                let to = addresses[at];
                let mut client = Client::new(path.clone());
                progress.push(client.progress.clone());
                tokio::spawn(async move {
                    // The run exists once the first client has its answer.
                    let mut closed = client.connect(method.clone(), to, usize::MAX).await;
                    while closed == Closed::Status(StatusCode::NOT_FOUND)
                        && client.connections < 5_000
                    {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        closed = client.connect(method.clone(), to, usize::MAX).await;
                    }
                    client.assert_no_hole();
                    (closed, Instant::now())
                })
            })
            .collect();
        for client in progress {
            client.is_open().await;
        }
        let stopped = Instant::now();
        let to = addresses[1 + run % 2];
        let status = send(Method::DELETE, to, &format!("/chat/stop-{run}")).await;
        assert_eq!(status, Some(StatusCode::NO_CONTENT));
        let mut slowest = Duration::ZERO;
        for ended in join_all(clients).await {
            let (closed, at) = ended.unwrap();
            assert_eq!(closed, Closed::Clean, "{run}: no terminator, and no error");
            slowest = slowest.max(at - stopped);
        }
        delays.push(slowest);
        assert_eq!(cluster.calls(&format!("stop-{run}")), 1);
    }
    delays.sort_unstable();
    let (median, slowest) = (delays[runs / 2], delays[runs - 1]);
    println!("{runs} stops, the slowest client: {slowest:?}, the median: {median:?}");
    assert!(median < AT_ONCE, "{delays:?}");
}

#[tokio::test]
async fn stop_from_another_process_ends_a_run_everywhere() {
    stop_ends_a_run_everywhere(4).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs-cluster"]
async fn stops_of_60_runs_end_them_everywhere() {
    stop_ends_a_run_everywhere(60).await;
}
