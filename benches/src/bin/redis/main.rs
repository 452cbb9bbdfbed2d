//! Measures the hub on Redis Streams, and compares its publishing and its delays with a
//! hand-written fan-out: Redis pub/sub, a channel, and axum's `Sse`.
//!
//! `redis URL PROCESS [MEASUREMENT]` prints rows of Markdown tables. `PROCESS` is the id of the
//! server, whose processor time is read from the system. `benches/redis.sh` starts the server and
//! writes the record.

mod history;
mod latency;
mod publish;
mod readers;
mod server;
mod subject;

use std::time::{Duration, Instant};
use std::{cell::Cell, convert::Infallible, env, fs, pin::Pin, rc::Rc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::BodyExt;
use redis::aio::MultiplexedConnection;
use tokio::sync::broadcast;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{MissedTickBehavior, interval};
use tower::{Layer, Service, ServiceExt};
use tower_sse::{Retention, SseLayer, decode::Decoder, hub::Hub};
use tower_sse_redis::{Redis, RedisBroker};

use server::{Server, microseconds_per, own_processor_time, run};
use subject::{NAMES, Subject, receive};

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [url, process, rest @ ..] = arguments.as_slice() else {
        panic!("usage: redis URL PROCESS [publish | history | latency | readers | batches]");
    };
    let server = Server { url: url.clone(), process: process.parse().expect("a process id") };
    let selected = |name: &str| rest.is_empty() || rest.iter().any(|argument| argument == name);
    if selected("publish") {
        publish::measure(&server);
    }
    if selected("history") {
        history::measure(&server);
    }
    if selected("latency") {
        latency::measure(&server);
    }
    if selected("readers") {
        readers::measure(&server);
    }
    if selected("batches") {
        readers::measure_batches(&server);
    }
}
