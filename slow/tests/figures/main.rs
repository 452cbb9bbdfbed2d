//! The speed and cost of hubs over PostgreSQL and SQLite, and the cost of a long poll. Run by
//! `.ci/slow postgres-figures`, `.ci/slow sqlite-figures` and `.ci/slow poll-figures`. The bounds
//! are for an idle machine and a release build.

#![cfg(target_os = "linux")]

#[path = "../../../crates/tower-sse-sqlite/tests/sqlite/file.rs"]
#[allow(dead_code)]
mod file;
#[path = "../../../tests/support/hub_process.rs"]
mod hub_process;
mod polls;
mod postgres;
#[path = "../../../crates/tower-sse-postgres/tests/postgres/server.rs"]
#[allow(dead_code)]
mod server;
mod sqlite;
#[path = "../../../tests/support/programs.rs"]
mod support;

use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering::Relaxed};
use std::{fs, process::Stdio, time::Duration};

use tokio::time::{Instant, sleep};
use tower_sse::Retention;
use tower_sse::hub::broker::Broker;
use tower_sse::hub::{Hub, HubBuilder};

use hub_process::HubProcess;
use support::PATIENCE;

const SECONDS: u64 = 4;
/// The size of an event, the same as in the benchmark of the hub over Redis.
const BYTES: usize = 256;

async fn connect(
    builder: HubBuilder,
    broker: impl Broker<Error: std::fmt::Debug>,
) -> HubProcess<(), ()> {
    HubProcess::new(builder.connect(broker).await.unwrap(), (), ())
}

/// Publishes from `tasks` tasks, each of which publishes again once its event is acknowledged.
/// Returns the events per second.
async fn publishers(hub: &Hub, tasks: usize) -> f64 {
    let count = Arc::new(AtomicUsize::new(0));
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let publish = || {
        let (hub, count) = (hub.clone(), Arc::clone(&count));
        tokio::spawn(async move {
            while Instant::now() < end {
                hub.publish("b", "x".repeat(BYTES)).await.unwrap();
                count.fetch_add(1, Relaxed);
            }
        })
    };
    let publishing: Vec<_> = (0..tasks).map(|_| publish()).collect();
    for publishing in publishing {
        publishing.await.unwrap();
    }
    count.load(Relaxed) as f64 / SECONDS as f64
}

/// Returns the median and the maximum of the times that some events take.
async fn times(mut event: impl AsyncFnMut(usize) -> Duration) -> (Duration, Duration) {
    let mut times = Vec::new();
    for number in 0..201 {
        sleep(Duration::from_millis(fastrand::u64(..30))).await;
        times.push(event(number).await);
    }
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

/// Returns the fields of the line that `/proc` has about a process, from its state on.
fn fields(stat: &str) -> Vec<&str> {
    stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect()
}

fn processor_time(fields: &[&str]) -> Duration {
    let ticks = [11, 12].map(|field| fields[field].parse::<u64>().unwrap());
    Duration::from_millis(ticks.iter().sum::<u64>() * 10)
}
