//! Processes that die, or are stopped for longer than their leases.

use crate::*;

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
    cluster.processes[0].signal("STOP");
    let stopped = Instant::now();
    for client in join_all(clients).await {
        let (client, closed, at) = client.unwrap();
        assert_eq!(closed, Closed::Failed, "{client:?}");
        assert!(at - stopped < DEATH + SLACK, "{:?}", at - stopped);
    }
    reads_whole("paused", 40, &[cluster.address(1)]).await;
    cluster.processes[0].signal("CONT");
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

/// The page at the owner has received events that were not exported, and that are lost.
#[tokio::test]
async fn pages_learn_once_that_the_answer_of_a_killed_owner_is_incomplete() {
    let Some(mut cluster) = Cluster::start().await else { return };
    _ = Client::begun(&cluster, "killed", 1_000_000).await;
    let mut pages = Vec::new();
    for to in cluster.addresses() {
        let mut page = Client::of_turn("killed", 1_000_000, 5);
        page.is_page = true;
        let progress = page.progress.clone();
        let others = cluster.addresses().split_off(1);
        pages.push(tokio::spawn(async move {
            assert_ne!(page.post(to, usize::MAX).await, Closed::Complete);
            page.read_all(&others, usize::MAX, 0).await;
            page
        }));
        progress.has_an_event().await;
    }
    cluster.processes[0].kill().await;
    for page in join_all(pages).await {
        let mut page = page.unwrap();
        assert_eq!((page.numbers.pop(), page.last.as_deref()), (Some(0), Some("interrupted")));
        page.assert_no_hole();
    }
    assert_eq!(cluster.calls("killed"), 1);
}

// Processes that shut down while others serve.

#[tokio::test]
async fn shutdown_of_another_process_loses_nothing() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut client = Client::begun(&cluster, "kept", 400).await;
    let addresses = cluster.addresses();
    let reading = tokio::spawn(async move {
        client.read_all(&addresses[1..], 200, 4).await;
        client
    });
    cluster.processes[1].signal("TERM");
    assert!(cluster.processes[1].exited().await.success());
    reading.await.unwrap().assert_whole(400);
    assert_eq!(cluster.calls("kept"), 1);
}

#[tokio::test]
async fn answer_that_ends_within_the_grace_is_whole_and_stays_readable() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut client = Client::begun(&cluster, "finished", 200).await;
    cluster.processes[0].signal("TERM");
    client.read_all(&[cluster.address(1), cluster.address(2)], usize::MAX, 0).await;
    client.assert_whole(200);
    assert!(cluster.processes[0].exited().await.success());
    let mut late = Client::of_turn("finished", 200, 5);
    assert_eq!(late.post(cluster.address(2), usize::MAX).await, Closed::Complete);
    late.assert_whole(200);
    assert_eq!(cluster.calls("finished"), 1);
}

// Calls that return no event stream.

const ROUNDS: usize = 200;
/// The requests of one round, at all processes.
const REQUESTS: usize = 9;

/// Each request makes its own call, because no call has an answer for the others.
#[tokio::test]
async fn simultaneous_requests_whose_calls_fail_are_each_answered() {
    let Some(cluster) = Cluster::start().await else { return };
    for round in 0..ROUNDS {
        let name = format!("failing-{round}");
        let posts = (0..REQUESTS).map(|at| {
            let (name, to) = (name.clone(), cluster.address(at % cluster::PROCESSES));
            async move { Client::of_turn(&name, 0, 0).post(to, usize::MAX).await }
        });
        let answers = join_all(posts).await;
        assert_eq!(answers, [Closed::Status(StatusCode::IM_A_TEAPOT); REQUESTS], "{round}");
        assert_eq!(cluster.calls(&name), REQUESTS, "{round}");
    }
}
