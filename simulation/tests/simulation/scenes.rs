//! Scenes that seeds have found, at every moment at which they can happen.

use std::{mem, time::Duration};

use fastrand::Rng;
use tokio::time::sleep;

use crate::{
    client::Client,
    faults::Fault,
    log::Log,
    oracle::{self, History, Life, Verdict},
    process::Process,
    publications::{Publications, overtaken},
    redis::{Cut, Network},
    simulation::{dial, runtime},
};

/// The number of processes, each of which has one client.
const HUBS: usize = 3;
/// The maximum latencies in milliseconds, and the number of orders in which answers arrive.
const LATENCIES: [u64; 3] = [1, 3, 20];
const ORDERS: u64 = 12;

/// Processes that follow the stream, and clients that receive from them.
struct Scene {
    network: Network,
    publications: Publications,
    processes: Vec<Process>,
    clients: Vec<Client>,
}

/// An operator renames the key away, and back before one of the commands that follow. The events
/// that the other stream accepted meanwhile are lost.
#[test]
fn key_that_is_renamed_away_and_back_at_any_moment_is_a_gap() {
    check(5..35, async |scene, commands| {
        scene.network.command(&["RENAME", "tower-sse", "other"]);
        scene.network.appoint(commands, &["RENAME", "other", "tower-sse"]);
        // Some of them are acknowledged before the key is back, and some are added after that.
        for milliseconds in [0, 0, 0, 0, 5, 5, 5] {
            scene.publish(0);
            scene.pass(milliseconds).await;
        }
    });
}

/// An operator puts a copy of the key back while ids are ahead of the clock. In both copies, a
/// process then advances the ids to the same one.
#[test]
fn copy_whose_last_entry_has_the_same_id_is_a_gap() {
    check(0..30, async |scene, moment| {
        let Scene { network, .. } = scene;
        Fault::Clock { step: -3_600_000 }.inject(network);
        network.cut_off(2, true);
        network.command(&["COPY", "tower-sse", "copy"]);
        scene.publish(0);
        scene.pass(50).await;
        scene.network.cut(1, Cut::Now);
        scene.pass(300 + 20 * moment as u64).await;
        scene.network.command(&["COPY", "copy", "tower-sse", "REPLACE"]);
        scene.network.cut(2, Cut::Now);
        scene.network.cut_off(2, false);
        scene.pass(3_000).await;
        // A client of hub 2 receives this event without the one before.
        scene.publish(0);
    });
}

/// Plays a scene in all its variations, which must break no guarantee.
fn check(variations: std::ops::Range<usize>, play: impl AsyncFn(&mut Scene, usize)) {
    let mut reported = 0;
    for (latency, order) in
        LATENCIES.iter().flat_map(|it| (0..ORDERS).map(move |order| (it, order)))
    {
        for variation in variations.clone() {
            let verdict = |log| {
                runtime(order).block_on(async {
                    let mut scene = Scene::start(order, *latency, log).await;
                    play(&mut scene, variation).await;
                    scene.end().await
                })
            };
            let Verdict { faults, overtaken, excused, reported: newly, .. } =
                verdict(Log::new(false));
            if !faults.is_empty() {
                let log = Log::new(true);
                verdict(log.clone());
                let (lines, faults) = (log.take().join("\n"), faults.join("\n"));
                panic!(
                    "{lines}\nlatency {latency}, order {order}, variation {variation}:\n{faults}"
                );
            }
            assert_eq!((overtaken, excused), (0, 0));
            reported += newly;
        }
    }
    assert!(reported > 0, "nothing was lost");
}

impl Scene {
    /// Starts the processes, and publishes an event.
    async fn start(order: u64, latency: u64, log: Log) -> Self {
        let network = Network::new(Rng::with_seed(order), HUBS, latency, log);
        dial(&network);
        let mut scene = Self {
            publications: Publications::default(),
            processes: (0..HUBS).map(|hub| Process::start(&network, hub, hub)).collect(),
            clients: (0..HUBS).map(|client| Client::new(client, vec![0])).collect(),
            network,
        };
        sleep(Duration::from_secs(1)).await;
        for (client, process) in scene.clients.iter_mut().zip(&scene.processes) {
            client.resume(&scene.network, process);
        }
        scene.publish(0);
        scene.pass(100).await;
        scene
    }

    fn publish(&self, hub: usize) {
        self.publications.publish(&self.network, &self.processes[hub], 0);
    }

    /// Lets time pass, and clients receive.
    async fn pass(&mut self, milliseconds: u64) {
        sleep(Duration::from_millis(milliseconds)).await;
        self.clients.iter_mut().for_each(|client| client.receive(&self.network, usize::MAX));
    }

    /// Moves each client to another process, where it receives a last event.
    async fn end(mut self) -> Verdict {
        self.pass(5_000).await;
        for (number, client) in self.clients.iter_mut().enumerate() {
            client.cut();
            client.resume(&self.network, &self.processes[(number + 1) % HUBS]);
        }
        self.publish(1);
        self.pass(3_000).await;
        oracle::check(&History {
            publications: mem::take(&mut *self.publications.lock()),
            journals: self.clients.into_iter().map(|client| client.journal).collect(),
            lives: vec![Life { stopped: false }; HUBS],
            kept: self.network.stream(),
            has_lost: true,
            overtaken: overtaken(&self.network),
        })
    }
}
