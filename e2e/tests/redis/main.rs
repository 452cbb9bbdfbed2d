//! The hub on Redis Streams, against real servers that each test starts.

#![cfg(unix)]

mod access;
mod acknowledgements;
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
mod record;
#[path = "../../../tests/support/relay.rs"]
mod relay;
mod restarts;
mod server;
mod sharing;
mod stalls;
mod statistics;
mod storm;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod trim;

use std::{
    collections::HashSet,
    env, fs,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use bytes::Bytes;
use cluster::{Cluster, Name, Sentinel};
use credentials::start_run;
use futures_util::stream;
use http::Request;
use http_body_util::BodyExt;
use hub_process::{Client, HubProcess, publish};
use load::load_until;
use process::{Pair, Process, SHORT_DEADLINE, hub_of, one_behind};
use proxy::Proxy;
use record::{Acknowledged, FIRST_END, Journal, Loss, Received, Verdict, check, data, sequence};
use server::{Data, KEY, Server, connect, patient, program};
use support::{
    PATIENCE, client::get, connect_h1, find, free_port, listen, skip, until, until_async,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{AbortHandle, JoinHandle},
    time::{Instant, pause, resume, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    Event, EventId, LastEventId, Message, SseLayer,
    hub::{Hub, HubBuilder, PublishError, Receipt, Retention},
    runs::Runs,
};
use tower_sse_redis::{ErrorKind, Redis, RedisBroker, RedisHealth};
