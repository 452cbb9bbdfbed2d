//! The hub on Redis Streams, against real servers that each test starts.

#![cfg(unix)]

mod access;
mod acknowledgements;
mod acl;
mod addresses;
mod ahead;
mod certificates;
mod closes;
mod cluster;
mod credentials;
mod ended;
mod failover;
#[path = "../../../tests/support/hub_process.rs"]
mod hub_process;
mod keys;
mod kit;
mod latest;
mod load;
mod outcomes;
mod process;
mod proxy;
mod python;
mod range;
mod record;
#[path = "../../../tests/support/relay.rs"]
mod relay;
mod restarts;
mod sentinel;
mod server;
mod sharing;
mod skips;
mod stalls;
mod statistics;
mod storm;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod switch;
mod tls;
mod topologies;
mod trim;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    Event, LastEventId,
    hub::{Hub, PublishError, Receipt, Retention},
    runs::Runs,
};
use tower_sse_redis::{Redis, RedisBroker};

use {
    certificates::Secure,
    cluster::Cluster,
    credentials::start_run,
    hub_process::{Client, HubProcess, publish},
    load::load_until,
    process::{Pair, Process, SHORT_DEADLINE, hub_of, one_behind},
    proxy::Proxy,
    record::{Acknowledged, FIRST_END, Journal, Loss, Received, Verdict, check, data, sequence},
    sentinel::{Name, Sentinel},
    server::{Data, KEY, Server, connect, patient, program},
    support::{
        EventReader, PATIENCE, client::get, connect_h1, find, free_port, listen, serve_axum, skip,
        until, until_async,
    },
};
