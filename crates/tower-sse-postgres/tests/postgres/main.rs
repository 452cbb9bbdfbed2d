//! The broker against PostgreSQL servers that the tests start.
//!
//! `TOWER_SSE_POSTGRES_BIN` names the directory of the server's programs, for another version.

#![cfg(unix)]

mod clients;
mod deadline;
mod figures;
mod input;
mod kit;
mod losses;
mod mess;
mod order;
mod pooler;
mod proxy;
mod rights;
mod server;
mod sizes;
#[cfg(feature = "tls")]
mod tls;
mod wake;

// The rig of all tests. Not its `mod.rs`, which needs the dependencies of the crate's own tests.
#[path = "../../../../tests/support/hub_process.rs"]
mod hub_process;
#[path = "../../../../tests/support/patience.rs"]
#[allow(dead_code, unreachable_pub)]
mod patience;
#[path = "../../../../tests/support/port.rs"]
#[allow(dead_code, unreachable_pub)]
mod port;
#[path = "../../../../tests/support/relay.rs"]
mod relay;
#[path = "../../../../tests/support/tool.rs"]
#[allow(dead_code, unreachable_pub)]
mod tool;

use std::{
    error::Error as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use hub_process::{Client, HubProcess, publish};
use input::block;
use kit::Process;
use order::large;
use patience::{PATIENCE, soon, until, until_async};
use proxy::Proxy;
use server::{Server, Stop, connect, patient, program, sql};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::{Client as Sql, error::SqlState};
use tool::{Directory, find};
use tower_sse::{
    Event,
    hub::{Hub, HubBuilder, PublishError, Retention},
    testing::broker::check,
};
use tower_sse_postgres::{ErrorKind, Postgres, SCHEMA};
