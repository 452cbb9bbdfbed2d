//! Processes that cannot reach Redis, while the others and the clients can.

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};

use crate::*;

/// The owner goes on for its own clients. The others declare its run dead, start it again, and the
/// owner ends its own as soon as it is back.
#[tokio::test]
async fn owner_that_is_cut_off_ends_its_run_when_it_is_back() {
    let Some(cluster) = Cluster::start().await else { return };
    let to = cluster.address(0);
    let mut client = Client::of_turn("cut", 1_000_000, 5);
    let progress = client.progress.clone();
    let at_owner = tokio::spawn(async move {
        let closed = client.post(to, usize::MAX).await;
        (client, closed, Instant::now())
    });
    let mut elsewhere = Client::of_turn("cut", 1_000_000, 5);
    progress.has_an_event().await;
    assert_eq!(elsewhere.post(cluster.address(1), 200).await, Closed::Cut);
    cluster.wires[0].cut();
    let (cut_at, read) = (Instant::now(), elsewhere.post(cluster.address(1), usize::MAX).await);
    assert_eq!(read, Closed::Failed);
    assert!(cut_at.elapsed() < DEATH + Duration::from_secs(10), "{:?}", cut_at.elapsed());
    reads_whole("cut", 40, &[cluster.address(1)]).await;
    assert!(!at_owner.is_finished(), "the owner's own clients are undisturbed");
    let mut new = Client::of_turn("other", 5, 5);
    let refused = new.post(cluster.address(0), usize::MAX).await;
    assert_eq!(refused, Closed::Status(StatusCode::SERVICE_UNAVAILABLE), "no new run");

    cluster.wires[0].heal();
    let healed = Instant::now();
    let (client, closed, at) = at_owner.await.unwrap();
    assert_eq!(closed, Closed::Failed, "{client:?}");
    println!("fenced after {:?}", at - healed);
    client.assert_no_hole();
    assert_eq!(cluster.calls("cut"), 2);
    reads_whole("cut", 40, &[cluster.address(0)]).await;
    assert_eq!(cluster.calls("cut"), 2);
}

/// An answer that ends while its owner is cut off is whole, and readable afterwards everywhere.
#[tokio::test]
async fn owner_that_is_cut_off_for_less_than_its_lease_loses_nothing() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut first = Client::of_turn("short", 300, 5);
    assert_eq!(first.post(cluster.address(0), 500).await, Closed::Cut);
    cluster.wires[0].cut();
    let healing = async {
        sleep(LEASE / 2).await;
        cluster.wires[0].heal();
    };
    let reading = first.post(cluster.address(0), usize::MAX);
    let (_, closed) = tokio::join!(healing, reading);
    // A request that arrives while Redis is away may be refused.
    if closed != Closed::Complete {
        first.read_all(&[cluster.address(0)], usize::MAX, 0).await;
    }
    first.assert_whole(300);
    reads_whole("short", 300, &[cluster.address(1), cluster.address(2)]).await;
    assert_eq!(cluster.calls("short"), 1);
}

/// A process whose mirror is cut off fails its clients, which find the run at another process.
#[tokio::test]
async fn client_of_a_process_that_is_cut_off_continues_at_another() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut client = Client::begun(&cluster, "mirror", 2_000).await;
    assert_eq!(client.post(cluster.address(1), 200).await, Closed::Cut);
    cluster.wires[1].cut();
    let closed = client.post(cluster.address(1), usize::MAX).await;
    assert_ne!(closed, Closed::Complete, "{client:?}");
    client.read_all(&[cluster.address(2), cluster.address(1)], usize::MAX, 0).await;
    client.assert_whole(2_000);
    assert_eq!(cluster.calls("mirror"), 1);
}
