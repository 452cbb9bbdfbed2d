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
    convert::Infallible,
    future::{pending, ready},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use cuts::{cut, special_bytes};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
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
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
    task::yield_now,
    time::{Instant, advance},
};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::{
    BoxError, Drain, Encoded, Event, Heartbeat, LastEventId, MaxAge, SseBody, SseLayer,
    StreamOptions,
    runs::{Attachment, InvalidKey, Outcome, Run, RunEnd, RunError, RunKey, Runs, StartError},
};
