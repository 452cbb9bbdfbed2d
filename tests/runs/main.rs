//! Runs, by their public interface alone.
#![cfg(feature = "runs")]

mod admitted;
mod bare_hyper;
mod bounds;
mod calls;
mod closed;
mod ends;
mod errors;
mod expiry;
mod explicit;
mod last_event;
mod memory;
mod model;
mod recorded;
mod refused;
mod rig;
mod served;
#[cfg(feature = "tracing")]
mod spans;
mod start_with;
mod stats;
mod table;

#[path = "../support/cuts.rs"]
mod cuts;
#[cfg(feature = "tracing")]
#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    future::{Ready, pending, ready},
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Barrier, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{BoxFuture, join_all},
    stream,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{Semaphore, mpsc, oneshot},
    task::{JoinHandle, yield_now},
    time::{Instant, advance},
};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceExt, service_fn, util::ServiceFn};
use tower_sse::{
    BoxError, CloseReason, Decoder, Disconnect, Drain, Encoded, Event, EventBody, Heartbeat,
    LastEventId, MaxAge, Message, Refusal, SseBody, SseLayer, StreamOptions,
    runs::{
        Attachment, InvalidKey, Outcome, Run, RunBody, RunEnd, RunError, RunKey, Runs, RunsBuilder,
        RunsStats, StartError,
    },
    streams::{Streams, Subjects},
};

use cuts::{cut, special_bytes};
use log::{current_span, record_by};
use rig::{
    Answer, Body, Client, End, Handler, Rig, after, by, data_of, field_of, full, key, post,
    runtime, settle, source, turn,
};
use support::{
    Connection, EventReader, Feed, PATIENCE, Polled, Protocol, Requester, SECOND, cancelled_task,
    event_stream, listen, naive, poll_frame, serve_axum, server::serve_connection, soon, start,
    until,
};
