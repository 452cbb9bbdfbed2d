//! The broker against PostgreSQL servers that the tests start.
//!
//! `TOWER_SSE_POSTGRES_BIN` names the directory of the server's programs, for another version.

#![cfg(unix)]

mod clients;
mod deadline;
mod input;
mod kit;
mod log_out;
mod losses;
mod mess;
mod order;
mod pooler;
mod proxy;
mod queue;
mod rights;
mod server;
mod sizes;
mod survives;
#[cfg(feature = "tls")]
mod tls;
mod wake;

#[path = "../../../../tests/support/hub_process.rs"]
mod hub_process;
#[cfg(feature = "tracing")]
#[path = "../../../../tests/support/log.rs"]
mod log;
#[path = "../../../../tests/support/relay.rs"]
mod relay;
#[path = "../../../../tests/support/programs.rs"]
mod support;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, fmt::Write, fs, pin::pin};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinHandle, JoinSet, block_in_place};
use tokio::time::{Instant, sleep, timeout};
use tokio::{net::TcpStream, runtime::Builder, sync::watch};
use tokio_postgres::{Client as Sql, error::SqlState};
use tower_sse::Retention;
use tower_sse::hub::{Hub, HubBuilder, PublishError};
use tower_sse::{BoxError, Event, LastEventId};
use tower_sse_broker::testing::{Fault, World, check};
use tower_sse_postgres::{
    BrokerStats, Credentials, Error, ErrorKind, Health, Postgres, PostgresBroker, SCHEMA,
    schema_named,
};

use hub_process::{Client, HubProcess, first_visits_miss_nothing, publish};
use input::block;
use kit::Process;
use order::large;
use proxy::Proxy;
use server::{Server, Stop, broker_at, connect, patient, program, sql};
use support::{
    Directory, PATIENCE, find, free_port, installed, package, soon, target, until, until_async,
};
