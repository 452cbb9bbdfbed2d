//! Runs of several processes over a real Redis server, with clients that reconnect to any of them.
//!
//! Each test has a quick form. `.ci/slow runs-cluster` runs the whole ones, which are ignored by
//! default.

#![cfg(unix)]

mod app;
mod attacks;
mod client;
mod cluster;
mod cost;
mod deaths;
mod deploys;
mod disturbances;
mod eternal_keys;
mod failing_calls;
mod limits;
mod loads;
mod process;
mod redis_faults;
#[path = "../redis/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "../runs/sigterm.rs"]
mod sigterm;
mod storm;
#[path = "../../../tests/support/mod.rs"]
mod support;
#[allow(dead_code)]
mod wire;
mod yardstick;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use futures_util::future::join_all;
use http::{Request, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use tower_sse::{
    Event,
    runs::{RunKey, Runs},
};

use support::PATIENCE;

use {
    app::{DONE, Service},
    client::{Client, Closed, Progress, reads_whole},
    cluster::{Cluster, DEATH, DEFAULT_LEASE, LEASE},
    eternal_keys::assert_no_eternal_keys,
    server::{Data, Server},
    support::{Process, listen, until},
    wire::Wire,
};
