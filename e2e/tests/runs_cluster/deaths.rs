//! Processes that die, or are stopped for longer than their leases.

use std::{net::SocketAddr, time::Duration};

use futures_util::{FutureExt, StreamExt, future::join_all, stream};
use nix::sys::signal::Signal;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower_sse::{
    Event,
    redis::Redis,
    runs::{RunKey, Runs},
};

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

/// Asks the other processes for a run that was started before.
async fn is_started_again_once(cluster: &Cluster, name: &str, clients: usize) {
    let others = [[cluster.address(1)], [cluster.address(2)]];
    _ = join_all((0..clients).map(|at| reads_whole(name, 20, &others[at % 2]))).await;
    assert_eq!(cluster.calls(name), 2);
}

#[tokio::test]
async fn clients_of_a_dead_process_are_told_and_one_request_starts_again() {
    let Some(cluster) = Cluster::start().await else { return };
    clients_are_told_within(cluster, DEATH + SLACK).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs-cluster"]
async fn every_client_is_told_within_15_seconds_by_default() {
    let Some(redis) = Server::start().await else { return };
    let Some(cluster) = Cluster::start_on(redis, DEFAULT_LEASE).await else { return };
    // Processes with new connections give owners a whole lease to renew theirs.
    sleep(2 * DEFAULT_LEASE).await;
    clients_are_told_within(cluster, Duration::from_secs(15)).await;
}

async fn clients_are_told_within(mut cluster: Cluster, bound: Duration) {
    let clients = watched_run(&cluster, "dead", 20).await;
    cluster.processes[0].kill().await;
    let died = Instant::now();
    for client in join_all(clients).await {
        let (client, closed, at) = client.unwrap();
        assert_eq!(closed, Closed::Failed, "{client:?}");
        client.assert_no_hole();
        assert!(!client.numbers.is_empty());
        assert!(at - died < bound, "{:?}", at - died);
    }
    println!("all clients are told within {:?}", died.elapsed());
    is_started_again_once(&cluster, "dead", 20).await;
}

/// A process with as many runs as a link would carry in seconds, one after the other.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "of .ci/slow runs-cluster"]
async fn clients_of_2500_runs_are_told_in_time() {
    const RUNS: usize = 2_500;
    const LEASE: Duration = Duration::from_secs(2);
    const DEATH: Duration = Duration::from_secs(4);
    let Some(redis) = Server::start().await else { return };
    let (to_dead, wire) = (Wire::start(redis.port()).await, Wire::start(redis.port()).await);
    let connect = async |url: &str| {
        let limits = Runs::builder().max_running_per_owner(10_000).retain_bytes(64 << 10);
        limits.connect(Redis::open(url).unwrap().runs("app").lease(LEASE)).await.unwrap()
    };
    let (dead, other) = (connect(&to_dead.url()).await, connect(&wire.url()).await);
    let healthy = connect(&redis.url()).await;
    let key = |run: usize| RunKey::new("ann", format!("run{run}")).unwrap();
    let attach = async |owner: &Runs, run: usize| {
        owner.start(&key(run), None, stream::pending::<Event>).await.unwrap();
        other.get(&key(run)).await.unwrap().attach(None).await.unwrap()
    };
    let clients = stream::iter(0..RUNS).map(|run| attach(&dead, run)).buffered(50);
    let clients: Vec<_> = clients.collect().await;
    let lasting = join_all((RUNS..RUNS + 20).map(|run| attach(&healthy, run))).await;
    // Processes with new connections give owners a whole lease to renew theirs.
    sleep(2 * LEASE).await;
    wire.delay(Duration::from_millis(2));
    to_dead.cut();
    let died = Instant::now();
    let told = clients.into_iter().map(async |mut client| {
        assert!(client.next().await.unwrap().is_err());
        died.elapsed()
    });
    let told = timeout(3 * PATIENCE, join_all(told)).await.expect("all are told");
    println!("{RUNS} clients are told within {:?}", told.iter().max().unwrap());
    assert!(told.iter().all(|told| *told < DEATH + SLACK / 2), "{:?}", told.iter().max());
    // Longer than a process keeps runs that are out of reach.
    sleep(2 * LEASE).await;
    for mut client in lasting {
        assert!(client.next().now_or_never().is_none(), "the client of a healthy process");
    }
}

/// Nobody watches, so only the next request notices.
#[tokio::test]
async fn request_after_an_unwatched_death_starts_the_run_once() {
    let Some(mut cluster) = Cluster::start().await else { return };
    _ = Client::begun(&cluster, "lonely", 1_000_000).await;
    cluster.processes[0].kill().await;
    sleep(DEATH).await;
    is_started_again_once(&cluster, "lonely", 10).await;
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
