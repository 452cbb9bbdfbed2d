//! A server under load for 20 seconds or an hour, and the curve of its memory, descriptors and
//! tasks.
//!
//! The server runs in its own process, so its figures don't include the clients'. `TOWER_SSE_SOAK`
//! sets the number of seconds of the long test. Both tests write their curves to the folder that
//! `TOWER_SSE_SOAK_RECORD` names, if it is set.
#![cfg(target_os = "linux")]

mod account;
mod client;
mod curve;
mod load;
mod process;
mod service;

#[path = "../../../tests/support/redis_server.rs"]
mod server;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex};
use std::{collections::BTreeMap, env, fmt::Write, fs, net::SocketAddr, path::PathBuf};
use std::{sync::atomic::AtomicU64, sync::atomic::Ordering::Relaxed, time::Duration};

use account::{Account, Figures};
use bytes::Bytes;
use client::{Client, LARGE};
use curve::Curve;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use load::{Control, EVENTS, Load, Plan, TOPICS};
use process::ServerProcess;
use serde::{Deserialize, Serialize};
use server::Server;
use service::Service;
use support::client::{connect_small, get, post};
use support::{Peer, Process, Protocol, connect_h1, soon};
use tokio::time::{Instant, interval, sleep, timeout_at};
use tokio::{net::TcpListener, runtime::Handle, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tower_sse::hub::Hub;
use tower_sse::runs::{RunKey, Runs};
use tower_sse::{Drain, Event, LastEventId, Retention, SseLayer, decode::Decoder, stats::Stats};
use tower_sse_redis::{BrokerStats, Redis};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_or_is_left_after_20_seconds() {
    soak(Plan::short(Duration::from_secs(20))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes an hour, run it by `.ci/slow soak`"]
async fn nothing_grows_or_is_left_after_an_hour() {
    let seconds = env::var("TOWER_SSE_SOAK").ok().map(|seconds| seconds.parse().unwrap());
    soak(Plan::long(Duration::from_secs(seconds.unwrap_or(3600)))).await;
}

async fn soak(plan: Plan) {
    let plan = &Arc::new(plan);
    let Some(mut redis) = Server::start().await else { return };
    let mut server = ServerProcess::start(&redis.url(), plan).await;
    assert!(server.control.publish("first", "").await);
    let before = server.control.figures().await;

    let load = Load::start(plan, server.address());
    let curve = Curve::record(plan, &mut server.control, &mut redis).await;
    let account = load.stop().await;
    let ended = account::drain(plan, &mut server).await;
    if let Some(folder) = env::var_os("TOWER_SSE_SOAK_RECORD").map(PathBuf::from) {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(plan.file("csv")), curve.to_csv()).unwrap();
        fs::write(folder.join(plan.file("svg")), curve::to_svg(&curve)).unwrap();
    }
    println!("{account:?}\nbefore: {before:?}\nend: {ended:?}\n{}", curve.summary());
    account.assert_matches(&ended, plan);
    curve.assert_no_growth();
    account::assert_none(plan, &before, &mut server.control).await;
}
