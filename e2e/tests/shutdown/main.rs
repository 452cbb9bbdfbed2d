//! Graceful shutdown over real sockets, by the recipes of the examples, and in real processes.

mod deadline;
mod drain;
mod end;
#[cfg(target_os = "linux")]
mod half;
mod host;
mod own_end;
#[cfg(unix)]
mod process;
mod refusal;
mod relay;
mod source;
mod without_the_layer;

#[path = "../../../examples/graceful_axum.rs"]
#[allow(dead_code)]
mod graceful_axum;
#[path = "../../../examples/graceful_hyper.rs"]
#[allow(dead_code)]
mod graceful_hyper;
#[path = "../../../examples/tonic/src/bin/graceful_tonic.rs"]
#[allow(dead_code)]
mod graceful_tonic;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};
use std::{any::Any, convert::Infallible, fmt::Debug, io, net::SocketAddr, sync::Arc};
use std::{sync::atomic::AtomicUsize, sync::atomic::Ordering::SeqCst, thread};

use axum::{Router, body::Body};
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all, try_join_all};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{Request, Response, Version, header::RETRY_AFTER, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;
use tower::{Layer, service_fn};
use tower_sse::{CloseReason, Drain, Event, MaxAge, Retry, SseLayer, StreamOptions, stats::Stats};

use end::{End, read_to_end};
use graceful_hyper::{LIMITS, Limits};
use host::{Handler, Host, handler};
use relay::{GOAWAY, HEADERS, RST_STREAM, Relay};
use source::{Feeds, Source};
use support::client::{connect_h2_with_window, connect_small};
use support::{Connection, EventReader, Feed, PATIENCE, Process, connect_h2, event_stream, listen};
use support::{Protocol, Reports, Requester, soon, until, until_async};
