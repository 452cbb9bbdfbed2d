//! Runs that are read in all processes while a fault happens.

use super::*;

pub(crate) const EVENTS: u64 = 600;
pub(crate) const GAP: u64 = 10;
pub(crate) const RUNS: usize = 6;

/// Asserts that clients at all processes receive every event of all runs once, and that no run
/// starts twice, although `fault` happens while they read.
pub(crate) async fn nothing_is_lost_while(
    cluster: impl Future<Output = Option<Cluster>>,
    fault: impl AsyncFnOnce(&mut Cluster),
) {
    let Some(mut cluster) = cluster.await else { return };
    let clients = read_everywhere(&cluster.addresses());
    sleep(Duration::from_secs(1)).await;
    fault(&mut cluster).await;
    for client in join_all(clients).await {
        client.unwrap().assert_whole(EVENTS);
    }
    for run in 0..RUNS {
        assert_eq!(cluster.calls(&format!("fault-{run}")), 1, "{run}");
    }
}

/// Reads each run with one client at each process. The processes start the runs in turn.
pub(crate) fn read_everywhere(addresses: &[SocketAddr]) -> Vec<JoinHandle<Client>> {
    let reading = (0..RUNS * addresses.len()).map(|at| {
        let (run, at) = (at / addresses.len(), at % addresses.len());
        let owner = addresses[run % addresses.len()];
        let (address, all) = (addresses[at], addresses.to_vec());
        tokio::spawn(async move {
            let mut client = Client::of_turn(&format!("fault-{run}"), EVENTS, GAP);
            // The client at the owner connects first, so that this process starts the run.
            if address != owner {
                sleep(Duration::from_millis(300)).await;
            }
            let closed = client.post(address, usize::MAX).await;
            if closed != Closed::Complete {
                client.read_all(&all, usize::MAX, 0).await;
            }
            client
        })
    });
    reading.collect()
}
