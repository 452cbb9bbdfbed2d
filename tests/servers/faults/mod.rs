//! Streams that are opened at random and end in every way: by the client, the source, the layer or
//! a shutdown. In the end, everything has been released, and every stream that was opened has had
//! exactly one close report.
//!
//! `TOWER_SSE_FAULTS` sets how many streams each test opens, and `TOWER_SSE_SEED` repeats what a
//! seed drew.

mod fault;
mod ledger;
mod server;

use allocation_counter::measure;

use self::ledger::{Ledger, Outcome};
use self::{fault::Fault, server::Server};
use crate::*;

/// The number of concurrent faults.
const LANES: u64 = 8;

/// The number of bytes by which the memory in use may grow from one run to the next, as the runtime
/// may keep a little. Usually it does not grow.
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

/// Runs faults until `streams` streams were requested, and audits what is left.
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
                        let mut faults = Fault::ALL.to_vec();
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
        // A task that was awaited may not have been released yet.
        let tasks = Handle::current().metrics();
        let until_none_is_left = async {
            while tasks.num_alive_tasks() > 0 {
                yield_now().await;
            }
        };
        soon(until_none_is_left).await;
    });
}

#[test]
fn everything_is_released_however_streams_end() {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    run(&runtime, streams(), seed());
}

/// The memory in use is counted exactly, on one thread.
#[test]
fn memory_is_released_however_streams_end() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let seed = seed();
    // The warm-up excludes what the runtime and the dependencies allocate once.
    run(&runtime, streams() / 4, seed);
    let growth = measure(|| run(&runtime, streams(), seed)).bytes_current;
    println!("{growth} bytes more in use");
    assert!(growth <= MARGIN, "{growth} bytes more in use");
}
