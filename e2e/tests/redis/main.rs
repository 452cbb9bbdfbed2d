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
mod stalls;
mod statistics;
mod storm;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod trim;

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    env, fmt, fs, io,
    net::SocketAddr,
    ops::AddAssign,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, mpsc, watch},
    task::{AbortHandle, JoinHandle, yield_now},
    time::{Instant, pause, resume, sleep, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    BoxError, Decoder, Event, EventId, LastEventId, Message, SseLayer,
    hub::{Hub, HubBuilder, PublishError, Receipt, Retention},
    runs::{RunKey, Runs, StartError},
    streams::{Streams, Subjects},
    testing::broker::{Fault, World},
};
use tower_sse_redis::{
    BrokerStats, Credentials, Error, ErrorKind, Redis, RedisBroker, RedisHealth, Tls,
};

use cluster::{Cluster, Name, Sentinel};
use credentials::start_run;
use hub_process::{Client, HubProcess, publish};
use load::load_until;
use process::{Pair, Process, SHORT_DEADLINE, hub_of, one_behind};
use proxy::Proxy;
use record::{Acknowledged, FIRST_END, Journal, Loss, Received, Verdict, check, data, sequence};
use server::{Data, KEY, Server, connect, patient, program};
use support::{
    PATIENCE, client::get, connect_h1, find, free_port, listen, skip, until, until_async,
};
