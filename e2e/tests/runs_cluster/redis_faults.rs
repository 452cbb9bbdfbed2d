//! Redis that is killed, stalls, forgets, or closes connections, while runs are read everywhere.

use futures_util::future::join;

use crate::*;

/// The time for which runs are kept by default.
const RETAINED: Duration = Duration::from_secs(300);

/// Starts runs, and asks other processes for them right after `fault`, with an id and without: a
/// running run is neither unknown nor started again.
async fn no_run_is_taken_for_missing_after(fault: impl AsyncFnOnce(&mut Cluster)) {
    let Some(mut cluster) = Cluster::start().await else { return };
    let addresses = cluster.addresses();
    let others = |run: usize| [addresses[(run + 1) % 3], addresses[(run + 2) % 3]];
    let mut clients = Vec::new();
    for run in 0..6 {
        let mut client = Client::of_turn(&format!("kept-{run}"), EVENTS, GAP);
        assert_eq!(client.post(addresses[run % 3], 400).await, Closed::Cut);
        clients.push((run, client));
        clients.push((run, Client::of_turn(&format!("kept-{run}"), EVENTS, GAP)));
    }
    fault(&mut cluster).await;
    let reading = clients.into_iter().map(async |(run, mut client)| {
        client.read_all(&others(run), usize::MAX, 0).await;
        client.assert_whole(EVENTS);
    });
    join_all(reading).await;
    for run in 0..6 {
        assert_eq!(cluster.calls(&format!("kept-{run}")), 1, "{run}");
    }
}

#[tokio::test]
async fn no_run_is_taken_for_missing_while_an_empty_server_is_filled() {
    no_run_is_taken_for_missing_after(async |cluster| {
        cluster.redis.kill();
        cluster.redis.restart().await;
    })
    .await;
}

/// All keys expire at once that are kept for less than the time by which the clock jumps.
#[tokio::test]
async fn no_run_is_missing_after_a_forward_jump_of_the_clock() {
    no_run_is_taken_for_missing_after(async |cluster| cluster.jump(RETAINED + LEASE).await).await;
}

/// The database that returns has the keys of an earlier time.
#[tokio::test]
async fn run_is_called_once_although_databases_are_swapped_to_and_fro() {
    let Some(cluster) = Cluster::start().await else { return };
    let swap = async || _ = cluster.redis.command::<String>("SWAPDB 0 1").await;
    swap().await;
    sleep(LEASE + LEASE / 3).await;
    let mut client = Client::begun(&cluster, "between", EVENTS).await;
    swap().await;
    let others = [cluster.address(1), cluster.address(2)];
    join(client.read_all(&others, usize::MAX, 0), reads_whole("between", EVENTS, &others)).await;
    client.assert_whole(EVENTS);
    assert_eq!(cluster.calls("between"), 1);
}

/// Nobody asks for a run in the time in which owners restore theirs.
#[tokio::test]
async fn run_starts_a_lease_after_a_flush() {
    let Some(cluster) = Cluster::start().await else { return };
    let _: String = cluster.redis.command("FLUSHALL").await;
    sleep(LEASE + LEASE / 3).await;
    let mut client = Client::of_turn("after", 3, 1);
    assert_eq!(client.post(cluster.address(0), usize::MAX).await, Closed::Complete);
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

#[tokio::test]
async fn connections_closed_again_and_again() {
    nothing_is_lost_while(Cluster::start(), async |cluster| {
        for kind in ["pubsub", "normal"].into_iter().cycle().take(10) {
            let kill = format!("CLIENT KILL TYPE {kind} SKIPME yes");
            _ = cluster.redis.command::<u32>(&kill).await;
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
}
