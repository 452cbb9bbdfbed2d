//! Processes that shut down while others serve.

use crate::*;

#[tokio::test]
async fn shutdown_of_another_process_loses_nothing() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut client = Client::begun(&cluster, "kept", 400).await;
    let addresses = cluster.addresses();
    let reading = tokio::spawn(async move {
        client.read_all(&addresses[1..], 200, 4).await;
        client
    });
    cluster.processes[1].terminate().await;
    assert!(cluster.processes[1].exited().await.success());
    reading.await.unwrap().assert_whole(400);
    assert_eq!(cluster.calls("kept"), 1);
}

#[tokio::test]
async fn answer_that_ends_within_the_grace_is_whole_and_stays_readable() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let mut client = Client::begun(&cluster, "finished", 200).await;
    cluster.processes[0].terminate().await;
    client.read_all(&[cluster.address(1), cluster.address(2)], usize::MAX, 0).await;
    client.assert_whole(200);
    assert!(cluster.processes[0].exited().await.success());
    let mut late = Client::of_turn("finished", 200, 5);
    assert_eq!(late.post(cluster.address(2), usize::MAX).await, Closed::Complete);
    late.assert_whole(200);
    assert_eq!(cluster.calls("finished"), 1);
}
