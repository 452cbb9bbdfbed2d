//! Redis is killed or stalls while runs are read in all processes.

use crate::*;

/// Right after the restart, clients request running runs from processes that don't own these runs,
/// with an id and without. No run may be unknown or start again.
#[tokio::test]
async fn no_run_is_taken_for_missing_while_an_empty_server_is_filled() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let addresses = cluster.addresses();
    let mut clients = Vec::new();
    for run in 0..6 {
        let name = format!("kept-{run}");
        let mut client = Client::of_turn(&name, EVENTS, GAP);
        assert_eq!(client.post(addresses[run % 3], 400).await, Closed::Cut);
        clients.extend([(run, client), (run, Client::of_turn(&name, EVENTS, GAP))]);
    }
    cluster.redis.kill();
    cluster.redis.restart().await;
    let reading = clients.into_iter().map(async |(run, mut client)| {
        let others = [addresses[(run + 1) % 3], addresses[(run + 2) % 3]];
        client.read_all(&others, usize::MAX, 0).await;
        client.assert_whole(EVENTS);
    });
    join_all(reading).await;
    for run in 0..6 {
        assert_eq!(cluster.calls(&format!("kept-{run}")), 1, "{run}");
    }
}

#[tokio::test]
async fn killed_and_back_with_an_older_state() {
    let Some(redis) = Server::start_durable().await else { return };
    nothing_is_lost_while(Cluster::start_on(redis, LEASE), async |cluster| {
        cluster.redis.take_snapshot();
        sleep(Duration::from_secs(1)).await;
        cluster.redis.kill();
        cluster.redis.restart_with(Data::Snapshot).await;
    })
    .await;
}

#[tokio::test]
async fn stalled_for_as_long_as_a_lease() {
    nothing_is_lost_while(Cluster::start(), async |cluster| {
        cluster.redis.stop();
        sleep(LEASE).await;
        cluster.redis.resume();
    })
    .await;
}
