//! Processes that die, or are stopped for longer than their leases.

use nix::sys::signal::Signal;
use tokio::task::JoinHandle;

use crate::{process::send, *};

/// How long a client takes to notice in addition, on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// Reads in a task, and returns how and when the connection ended.
fn reading(mut client: Client, to: SocketAddr) -> JoinHandle<(Client, Closed, Instant)> {
    tokio::spawn(async move {
        let closed = client.post(to, usize::MAX).await;
        (client, closed, Instant::now())
    })
}

/// Starts a run at the first process, and lets `count` clients read it at the others.
async fn watched_run(
    cluster: &Cluster,
    name: &str,
    count: usize,
) -> Vec<JoinHandle<(Client, Closed, Instant)>> {
    _ = Client::begun(cluster, name, 1_000_000).await;
    let mut clients = Vec::new();
    let mut progress: Vec<Progress> = Vec::new();
    for at in 0..count {
        let client = Client::of_turn(name, 1_000_000, 5);
        progress.push(client.progress.clone());
        clients.push(reading(client, cluster.address(1 + at % 2)));
    }
    for client in progress {
        client.has_an_event().await;
    }
    clients
}

/// The process that comes back may not add to the run that others have declared dead.
#[tokio::test]
async fn process_that_was_stopped_beyond_its_lease_is_fenced() {
    let Some(cluster) = Cluster::start().await else { return };
    let client = Client::of_turn("paused", 1_000_000, 5);
    let progress = client.progress.clone();
    let at_owner = reading(client, cluster.address(0));
    progress.has_an_event().await;
    let clients = watched_run(&cluster, "paused", 4).await;
    send(&cluster.processes[0], Signal::SIGSTOP);
    let stopped = Instant::now();
    for client in join_all(clients).await {
        let (client, closed, at) = client.unwrap();
        assert_eq!(closed, Closed::Failed, "{client:?}");
        assert!(at - stopped < DEATH + SLACK, "{:?}", at - stopped);
    }
    reads_whole("paused", 40, &[cluster.address(1)]).await;
    send(&cluster.processes[0], Signal::SIGCONT);
    let continued = Instant::now();
    let (client, closed, at) = at_owner.await.unwrap();
    assert_eq!(closed, Closed::Failed, "{client:?}");
    println!("fenced after {:?}", at - continued);
    assert!(at - continued < LEASE, "{:?}", at - continued);
    client.assert_no_hole();
    let mut late = Client::of_turn("paused", 40, 5);
    assert_eq!(late.post(cluster.address(0), usize::MAX).await, Closed::Complete);
    late.assert_whole(40);
    assert_eq!(cluster.calls("paused"), 2);
}
