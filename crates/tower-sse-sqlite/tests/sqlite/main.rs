//! Tests of the broker. They don't run on Windows, where an open file can't be replaced.

#![cfg(unix)]

mod faults;
mod file;
mod kit;
mod moved;
mod other;
mod replaced;
mod sql;
mod table;
mod trims;

// Parts of the shared test rig, whose `mod.rs` needs dependencies that only `tower-sse` has.
#[path = "../../../../tests/support/hub_process.rs"]
mod hub_process;
#[path = "../../../../tests/support/programs.rs"]
mod support;

use std::time::{Duration, UNIX_EPOCH};
use std::{fs, process, sync::Arc, sync::Mutex};

use rusqlite::{Connection, backup::Backup};
use tokio::{task::spawn_blocking, time::sleep};
use tower_sse::hub::{Hub, HubBuilder, PublishError, Receipt};
use tower_sse::{Event, Retention};
use tower_sse_broker::testing::{Fault, World, check};
use tower_sse_sqlite::{BrokerStats, Error, ErrorKind, Health, Sqlite, SqliteBroker};

use file::File;
use hub_process::{Client, HubProcess};
use support::{PATIENCE, Program, find, until, until_async};

type Process = HubProcess<Health, BrokerStats>;

impl Process {
    async fn connect(broker: SqliteBroker) -> Self {
        Self::connect_with(Hub::builder(), broker).await
    }

    async fn connect_with(builder: HubBuilder, broker: SqliteBroker) -> Self {
        let (health, stats) = (broker.health(), broker.stats());
        Self::new(builder.connect(broker).await.unwrap(), health, stats)
    }
}

async fn start() -> (File, Process) {
    let file = File::new();
    let process = Process::connect(file.broker()).await;
    (file, process)
}

async fn refusal(broker: SqliteBroker) -> Error {
    Hub::connect(broker).await.unwrap_err()
}

fn refused(outcome: Result<Receipt, PublishError>) -> Error {
    match outcome.unwrap_err() {
        PublishError::Refused(reason) => *reason.downcast().unwrap(),
        other => panic!("not refused: {other}"),
    }
}
