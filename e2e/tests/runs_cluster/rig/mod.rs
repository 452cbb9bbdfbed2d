//! Three processes that share runs over a Redis server, and clients that read the runs.
//! `slow/tests/cluster` uses this rig too.

#![allow(dead_code, unused_imports)]

pub(crate) mod app;
pub(crate) mod client;
pub(crate) mod cluster;
#[path = "../../../../tests/support/eternal_keys.rs"]
mod eternal_keys;
pub(crate) mod process;
mod reading;
#[path = "../../../../tests/support/redis_server.rs"]
pub(crate) mod server;
#[path = "../../../../tests/support/sigterm.rs"]
mod sigterm;
#[path = "../../../../tests/support/wire.rs"]
mod wire;

pub(crate) use std::fs::{self, OpenOptions};
pub(crate) use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering::SeqCst};
pub(crate) use std::{collections::BTreeMap, io::Write, net::SocketAddr, path::PathBuf};
pub(crate) use std::{thread, time::Duration};

pub(crate) use bytes::Bytes;
pub(crate) use futures_util::{Stream, StreamExt, future::join_all, stream};
pub(crate) use http::{Method, Request, StatusCode, Uri, request::Parts};
pub(crate) use http_body_util::{BodyExt, Empty};
pub(crate) use redis::{Value, aio::MultiplexedConnection, cmd};
pub(crate) use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
pub(crate) use tokio::{net::TcpStream, runtime::Runtime, task::JoinHandle};
pub(crate) use tokio_util::sync::CancellationToken;
pub(crate) use tower_sse::runs::{InvalidKey, Outcome, RunKey, Runs, RunsBuilder};
pub(crate) use tower_sse::{Event, Heartbeat, Retention, SseLayer, decode::Decoder};
pub(crate) use tower_sse_redis::Redis;

pub(crate) use self::app::{DONE, Service};
pub(crate) use self::client::{Client, Closed, Progress, reads_whole};
pub(crate) use self::cluster::{Cluster, DEATH, LEASE, calls};
pub(crate) use self::eternal_keys::assert_no_eternal_keys;
pub(crate) use self::reading::{EVENTS, GAP, RUNS, nothing_is_lost_while, read_everywhere};
pub(crate) use self::server::{Data, Server};
pub(crate) use self::wire::Wire;
pub(crate) use crate::support::{PATIENCE, Process, listen, until, until_async};
