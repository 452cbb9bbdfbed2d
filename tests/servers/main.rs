//! Real servers and real sockets: axum and raw hyper, HTTP/1 and HTTP/2.

mod disconnects;
mod events;
mod fairness;
mod faults;
mod host;
mod limits;
mod one_connection;
mod overtaken;
#[cfg(target_os = "linux")]
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
    future::pending,
    io,
    net::SocketAddr,
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
use host::{Fed, Host, streams};
use http::{Request, Response, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, server};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use log::Log;
use socket2::SockRef;
use support::{
    Connection, EventReader, Gate, Gated, Leave, PATIENCE, Peer, Protocol, Reports, Requester,
    ResponseExt, Source, Sources, cancelled_task, checksum,
    client::{connect_h2_with_window, connect_small},
    connect_h1, connect_h2, event_stream, listen,
    peer::End,
    read_to_end, serve_axum,
    server::serve_connection,
    soon, start, through,
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::yield_now,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceBuilder, service_fn};
use tower_sse::{
    BoxError, CloseReason, Disconnect, Drain, Encoded, Event, Heartbeat, SseLayer, Stats,
    StreamOptions,
    streams::{Streams, Subjects},
};
use watched::{Opened, Settings, Watched};
