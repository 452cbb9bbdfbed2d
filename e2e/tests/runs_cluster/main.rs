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
#[path = "../redis/disguise.rs"]
#[allow(dead_code)]
mod disguise;
mod eternal_keys;
mod limits;
mod loads;
#[path = "../redis/nodes.rs"]
mod nodes;
mod process;
mod redis_faults;
#[path = "../../../tests/support/relay.rs"]
mod relay;
#[path = "../../../tests/support/redis_server.rs"]
mod server;
#[path = "../runs/sigterm.rs"]
mod sigterm;
mod slots;
mod storm;
#[path = "../../../tests/support/mod.rs"]
mod support;
#[allow(dead_code)]
mod wire;

use std::fs::{self, OpenOptions};
use std::{collections::BTreeMap, io::Write, net::SocketAddr, path::PathBuf, sync::Arc};
use std::{sync::atomic::AtomicUsize, sync::atomic::Ordering::SeqCst, thread, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::join_all, stream};
use http::{Request, StatusCode, request::Parts};
use http_body_util::{BodyExt, Empty};
use redis::{Value, aio::MultiplexedConnection, cmd};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio::{net::TcpStream, runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower_sse::runs::{InvalidKey, RunKey, Runs, RunsBuilder};
use tower_sse::{Event, Heartbeat, Retention, SseLayer, decode::Decoder};
use tower_sse_redis::Redis;

use app::{DONE, Service};
use client::{Client, Closed, Progress, reads_whole};
use cluster::{Cluster, DEATH, DEFAULT_LEASE, GRACE, LEASE, calls};
use disguise::as_one_server;
use eternal_keys::assert_no_eternal_keys;
use nodes::Nodes;
use redis_faults::{EVENTS, RUNS, read_everywhere};
use server::{Data, Server};
use support::{PATIENCE, Process, listen, until, until_async};
use wire::Wire;
