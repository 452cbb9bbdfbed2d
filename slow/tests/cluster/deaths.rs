//! How soon clients in other processes learn that a run's process was killed.

use crate::*;

/// How many processes are killed.
const KILLS: usize = 100;
/// How many clusters run at a time.
const TOGETHER: usize = 4;

/// Kills the process of a run at a random time, and returns how long afterwards each of the clients
/// at the two other processes learns it.
async fn kill() -> Option<[Duration; 2]> {
    let mut cluster = Cluster::start_on(Server::start().await?, DEFAULT_LEASE).await?;
    let mut clients = Vec::new();
    for at in 0..3 {
        let mut client = Client::of_turn("killed", 1_000_000, 100);
        let (to, progress) = (cluster.address(at), client.progress.clone());
        clients.push(tokio::spawn(async move {
            let closed = client.post(to, usize::MAX).await;
            assert_eq!(closed, Closed::Failed, "{client:?}");
            client.assert_whole(client.numbers.len() as u64);
            Instant::now()
        }));
        progress.has_an_event().await;
    }
    sleep(DEFAULT_LEASE.mul_f64(fastrand::f64())).await;
    cluster.processes[0].kill().await;
    let killed = Instant::now();
    let mut told = join_all(clients).await.into_iter().map(|at| at.unwrap() - killed);
    // The first client was at the process that is dead.
    told.next();
    Some([told.next()?, told.next()?])
}

#[tokio::test]
async fn death_is_told_within_a_lease_and_a_quarter() {
    let kills = stream::iter(0..KILLS).map(|_| kill()).buffer_unordered(TOGETHER);
    let mut told: Vec<_> = kills.filter_map(async |told| told).collect::<Vec<_>>().await.concat();
    told.sort();
    let [Some(first), Some(last)] = [told.first(), told.last()] else { return };
    let median = told[told.len() / 2];
    println!("{KILLS} kills: clients learned it {first:?} to {last:?} later, {median:?} median");
    assert!(*last <= DEFAULT_LEASE * 5 / 4, "{last:?}");
}
