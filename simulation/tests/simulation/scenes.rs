//! Scenes that seeds have found, at every moment at which they can happen.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use crate::{
    client::Client,
    log::Log,
    oracle::{self, History, Life, Verdict},
    process::Process,
    publications::{Publications, overtaken},
    redis::Network,
    simulation::{dial, runtime},
};

/// The number of processes, each of which has one client.
const HUBS: usize = 3;

/// The latencies in milliseconds, and the number of orders in which answers arrive.
const LATENCIES: [u64; 3] = [1, 3, 20];
const ORDERS: u64 = 12;

/// An operator renames the key away, and back before one of the commands that follow. The events
/// that the other stream accepted meanwhile are lost.
#[test]
fn key_that_is_renamed_away_and_back_at_any_moment_is_a_gap() {
    let mut reported = 0;
    for (latency, order) in
        LATENCIES.iter().flat_map(|it| (0..ORDERS).map(move |order| (it, order)))
    {
        for commands in 5..35 {
            let scene = |log| {
                let renaming = rename_away_and_back(order, *latency, commands, log);
                runtime(order).block_on(renaming)
            };
            let verdict = scene(Log::new(false));
            if !verdict.faults.is_empty() {
                let log = Log::new(true);
                scene(log.clone());
                let (lines, faults) = (log.take().join("\n"), verdict.faults.join("\n"));
                panic!("{lines}\nlatency {latency}, order {order}, {commands} commands:\n{faults}");
            }
            assert_eq!((verdict.overtaken, verdict.excused), (0, 0));
            reported += verdict.reported;
        }
    }
    assert!(reported > 0, "nothing was lost");
}

async fn rename_away_and_back(order: u64, latency: u64, commands: usize, log: Log) -> Verdict {
    let network = Network::new(Rng::with_seed(order), HUBS, latency, log);
    dial(&network);
    let publications = Publications::default();
    let processes: Vec<_> = (0..HUBS).map(|hub| Process::start(&network, hub, hub)).collect();
    let mut clients: Vec<_> = (0..HUBS).map(|client| Client::new(client, vec![0])).collect();
    sleep(Duration::from_secs(1)).await;
    for (client, process) in clients.iter_mut().zip(&processes) {
        client.resume(&network, process);
    }
    publications.publish(&network, &processes[0], 0);
    pass(&network, &mut clients, 20).await;

    network.command(&["RENAME", "tower-sse", "other"]);
    network.appoint(commands, &["RENAME", "other", "tower-sse"]);
    // Some of them are acknowledged before the key is back, and some are added after that.
    for milliseconds in [0, 0, 0, 0, 5, 5, 5] {
        publications.publish(&network, &processes[0], 0);
        pass(&network, &mut clients, milliseconds).await;
    }
    pass(&network, &mut clients, 5_000).await;

    // Each client moves to another process, and receives the last event there.
    for (number, client) in clients.iter_mut().enumerate() {
        client.cut();
        client.resume(&network, &processes[(number + 1) % HUBS]);
    }
    publications.publish(&network, &processes[1], 0);
    pass(&network, &mut clients, 3_000).await;
    let history = History {
        publications: std::mem::take(&mut *publications.lock()),
        journals: clients.into_iter().map(|client| client.journal).collect(),
        lives: vec![Life { stopped: false }; HUBS],
        kept: network.stream(),
        has_lost: true,
        overtaken: overtaken(&network),
    };
    oracle::check(&history)
}

/// Lets time pass, and clients receive.
async fn pass(network: &Network, clients: &mut [Client], milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds)).await;
    clients.iter_mut().for_each(|client| client.receive(network, usize::MAX));
}
