//! Processes that pause for longer than their lease, or exit on SIGTERM, while they own runs.

use crate::*;

/// How much longer than [`DEATH`] a client may take to notice on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

fn reading(mut client: Client, to: SocketAddr) -> JoinHandle<(Client, Closed, Instant)> {
    tokio::spawn(async move {
        let closed = client.post(to, usize::MAX).await;
        (client, closed, Instant::now())
    })
}

/// After SIGCONT, the process must not add events to a run that other processes have ended.
#[tokio::test]
async fn process_that_was_stopped_beyond_its_lease_is_fenced() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut clients = Vec::new();
    for at in [0, 1, 2, 1, 2] {
        let client = Client::of_turn("paused", 1_000_000, 5);
        let progress = client.progress.clone();
        clients.push(reading(client, cluster.address(at)));
        progress.has_an_event().await;
    }
    let at_owner = clients.remove(0);
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
    client.assert_whole(client.numbers.len() as u64);
    let mut late = Client::of_turn("paused", 40, 5);
    assert_eq!(late.post(cluster.address(0), usize::MAX).await, Closed::Complete);
    late.assert_whole(40);
    assert_eq!(cluster.calls("paused"), 2);
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
