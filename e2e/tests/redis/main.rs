//! Hubs and runs on Redis, against real servers that the tests start.

#![cfg(unix)]

mod access;
mod acknowledgements;
mod addresses;
mod ahead;
mod certificates;
mod choice;
mod closes;
mod cluster;
mod credentials;
#[path = "../../../tests/support/redis_disguise.rs"]
mod disguise;
mod failover;
#[path = "../../../tests/support/hub_process.rs"]
mod hub_process;
mod keys;
mod kit;
mod load;
#[path = "../../../tests/support/redis_nodes.rs"]
mod nodes;
mod outcomes;
mod polls;
mod process;
mod proxy;
mod record;
mod refused;
#[path = "../../../tests/support/relay.rs"]
mod relay;
mod restarts;
#[path = "../../../tests/support/redis_server.rs"]
mod server;
mod settings;
mod stalls;
mod statistics;
mod storm;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod trim;

use std::collections::{HashMap, HashSet};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{convert::Infallible, env, fs, io, net::SocketAddr};

use axum::{Router, http::StatusCode, response::IntoResponse};
use futures_util::future::{join_all, try_join_all};
use futures_util::stream;
use http::Request;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, pause, resume, sleep, sleep_until, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tower_sse::decode::Message;
use tower_sse::hub::{Hub, HubBuilder, PublishError, Receipt};
use tower_sse::runs::{RunKey, Runs, StartError};
use tower_sse::streams::{Streams, Subjects};
use tower_sse::{BoxError, Event, LastEventId, Retention, SseLayer};
use tower_sse_broker::testing::{Fault, World};
use tower_sse_redis::Tls;
use tower_sse_redis::{BrokerStats, Credentials, Error, ErrorKind, Health, Redis, RedisBroker};

use certificates::Secure;
use cluster::{Sentinel, follow_name};
use credentials::start_run;
use disguise::{as_replica_of_valkey, replacing};
use hub_process::{Client, HubProcess, publish};
use load::load_until;
use nodes::Nodes;
use process::{Pair, Process, SHORT_DEADLINE, hub_of, one_behind, publishes_and_reads};
use proxy::Proxy;
use record::{Acknowledged, FIRST_END, Journal, Loss, Received, Verdict, check, data, sequence};
use server::{Data, KEY, Server, connect, patient, program};
use support::{PATIENCE, find, free_port, installed, target, until, until_async};
