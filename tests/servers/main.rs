//! Real servers, mostly over real sockets: axum and raw hyper, HTTP/1 and HTTP/2.

mod development;
mod disconnects;
mod events;
mod fairness;
mod faults;
mod host;
mod middlewares;
mod one_connection;
mod overtaken;
mod resets;
mod unnoticed;
mod upstream;
#[cfg(target_os = "linux")]
mod vanish;
mod watched;

#[path = "../support/log.rs"]
mod log;
#[path = "../support/middleware.rs"]
mod middleware;
#[path = "../support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex};
use std::{collections::HashMap, convert::Infallible, env, error::Error, fmt::Display};
use std::{future::pending, io, net::SocketAddr, ops::Deref, panic::resume_unwind};
use std::{
    str::FromStr, sync::atomic::AtomicUsize, sync::atomic::Ordering::SeqCst, time::Duration,
};

use axum::extract::{self, Path, State};
use axum::{Router, body::Body, routing::get, serve::ListenerExt};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::{Stream, StreamExt, future::join_all, stream};
use http::{Request, Response, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, server};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceBuilder, service_fn};
use tower_sse::StreamOptions;
use tower_sse::event::{Encode, Encoded};
use tower_sse::layer::EventBody;
use tower_sse::stats::Stats;
use tower_sse::streams::{Streams, Subjects};
use tower_sse::{BoxError, CloseReason, CloseReport, Disconnect, Drain, Event};
use tower_sse::{Heartbeat, MaxAge, SseLayer};

use host::{Fed, Host, streams};
use log::Log;
use support::{Connection, EventReader, Gate, Gated, Leave, PATIENCE, Peer, Protocol, Reports};
use support::{Requester, ResponseExt, Source, Sources, cancelled_task, checksum};
use support::{client::connect_small, event_stream, listen, peer::End, read_to_end, serve_axum};
use support::{server::serve_connection, soon, start, through};
use watched::{Opened, Settings, Watched};
