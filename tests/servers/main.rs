//! Real servers and real sockets: axum and raw hyper, HTTP/1 and HTTP/2.

mod back_pressure;
mod disconnects;
mod errors;
mod events;
mod fairness;
mod faults;
mod framing;
mod host;
mod limits;
mod local;
mod one_connection;
mod overtaken;
mod panics;
mod source;
mod unnoticed;
#[cfg(target_os = "linux")]
mod unread;
mod upstream;
#[cfg(target_os = "linux")]
mod vanish;
mod watched;

#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::join_all, stream};
use http::{Request, Response, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use tokio::{net::TcpStream, time::timeout};
use tower_sse::{BoxError, CloseReason, Encoded, Event, Heartbeat, SseLayer};

use {
    host::Host,
    log::Log,
    source::{Fed, streams},
    support::{
        Connection, EventReader, Gate, Gated, Leave, PATIENCE, Peer, Protocol, Reports, Requester,
        ResponseExt, Source, Sources, cancelled_task, checksum,
        client::{connect_h2_with_window, connect_small},
        connect_h1, connect_h2, event_stream, listen,
        peer::End,
        read_to_end, serve_axum,
        server::serve_connection,
        soon, start, through,
    },
    watched::{Opened, Settings, Watched},
};
