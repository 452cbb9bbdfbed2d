//! Streams that are opened and cut in every way there is, at random: in the end everything has been
//! given back, and every stream has had its one close report.
//!
//! `TOWER_SSE_FAULTS` sets how many streams each test opens, and `TOWER_SSE_SEED` repeats what a seed
//! drew.

mod fault;
mod ledger;
mod server;
mod source;

// What it can do is for the tests of single servers too.
#[allow(dead_code)]
#[path = "../servers/peer.rs"]
mod peer;

use std::{env, fmt::Display, str::FromStr, sync::Arc, time::Duration};

use allocation_counter::measure;
use fastrand::Rng;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::yield_now,
    time::timeout,
};

use crate::{fault::Fault, ledger::Ledger, server::Server};

const PATIENCE: Duration = Duration::from_secs(20);

/// So many faults at a time.
const LANES: u64 = 8;

/// How many bytes more may be in use after one run than after the one before, should the runtime keep a
/// little. Mostly it is none.
const MARGIN: i64 = 2 * 1024;

fn setting<T: FromStr<Err: Display>>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

fn streams() -> usize {
    setting("TOWER_SSE_FAULTS").unwrap_or(200)
}

fn seed() -> u64 {
    let seed = setting("TOWER_SSE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("TOWER_SSE_SEED={seed}");
    seed
}

/// Runs faults until so many streams were asked for, and audits what is left.
fn run(runtime: &Runtime, streams: usize, seed: u64) {
    runtime.block_on(async {
        let ledger = Arc::new(Ledger::default());
        let server = Arc::new(Server::start_limited(&ledger).await);
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                let (ledger, server) = (Arc::clone(&ledger), Arc::clone(&server));
                tokio::spawn(async move {
                    let mut rng = Rng::with_seed(seed.wrapping_add(lane));
                    while ledger.len() < streams {
                        let mut faults = Fault::ALL;
                        rng.shuffle(&mut faults);
                        for fault in faults {
                            fault.happen(&server, &ledger, &mut rng).await;
                        }
                    }
                })
            })
            .collect();
        for lane in lanes {
            lane.await.unwrap();
        }
        server.assert_has_its_places_back(&ledger).await;
        Arc::into_inner(server).expect("the lanes are done").stop().await;
        ledger.audit();
        // A task that was awaited may not have been put away yet.
        let tasks = Handle::current().metrics();
        let until_none_is_left = async {
            while tasks.num_alive_tasks() > 0 {
                yield_now().await;
            }
        };
        timeout(PATIENCE, until_none_is_left).await.expect("no task is left");
    });
}

#[test]
fn everything_is_given_back_however_streams_end() {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    run(&runtime, streams(), seed());
}

/// The memory in use is counted exactly, and on one thread only.
#[test]
fn the_memory_is_given_back_however_streams_end() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let seed = seed();
    // What is allocated once, by the runtime and others, is not counted.
    run(&runtime, streams() / 4, seed);
    let growth = measure(|| run(&runtime, streams(), seed)).bytes_current;
    println!("{growth} bytes more in use");
    assert!(growth <= MARGIN, "{growth} bytes more in use");
}
