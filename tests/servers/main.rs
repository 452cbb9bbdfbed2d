//! Real servers and real sockets: axum and raw hyper, HTTP/1 and HTTP/2.

mod disconnects;
mod events;
mod fairness;
mod faults;
mod host;
mod one_connection;
mod overtaken;
mod unnoticed;
mod upstream;
#[cfg(target_os = "linux")]
mod vanish;
mod watched;

#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::HashMap,
    convert::Infallible,
    env,
    error::Error,
    fmt::Display,
    future::pending,
    io,
    net::SocketAddr,
    ops::Deref,
    panic::resume_unwind,
    rc::Rc,
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{self, Path, State},
    response::IntoResponse,
    routing::get,
    serve::ListenerExt,
};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::{Stream, StreamExt, future::join_all, stream};
use http::{HeaderMap, Request, Response, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, server};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    runtime::{Builder, Handle, Runtime},
    sync::{Notify, mpsc},
    task::{JoinHandle, LocalSet, spawn_local, yield_now},
    time::{Instant, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tower_sse::{
    BoxError, CloseReason, CloseReport, Disconnect, Drain, Encode, Encoded, Event, EventBody,
    Heartbeat, MaxAge, SseLayer, Stats, StatsSnapshot, StreamOptions, marker,
    streams::{Streams, Subjects},
};

use host::{Fed, Host, streams};
use log::Log;
use support::{
    Connection, EventReader, Gate, Gated, Leave, PATIENCE, Peer, Protocol, Reports, Requester,
    ResponseExt, Source, Sources, cancelled_task, checksum, client::connect_small, connect_h1,
    connect_h2, event_stream, listen, peer::End, read_to_end, serve_axum, server::serve_connection,
    soon, start, through,
};
use watched::{Opened, Settings, Watched};
