//! The broker against PostgreSQL servers that the tests start.
//!
//! `TOWER_SSE_POSTGRES_BIN` names the directory of the server's programs, for another version.

#![cfg(unix)]

mod clients;
mod deadline;
mod docs;
mod figures;
mod input;
mod kit;
mod losses;
mod mess;
mod order;
mod password;
mod pooler;
mod process;
mod proxy;
mod rights;
mod server;
mod sizes;
mod slow;
#[cfg(feature = "tls")]
mod tls;
mod trigger;
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
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use tower_sse::{
    Event,
    hub::{Hub, HubBuilder, PublishError, Retention},
};
use tower_sse_postgres::{Postgres, SCHEMA};

use self::{
    hub_process::{Client, HubProcess, publish},
    patience::{PATIENCE, soon, until, until_async},
    process::Process,
    proxy::Proxy,
    server::{Server, Stop, sql},
};
