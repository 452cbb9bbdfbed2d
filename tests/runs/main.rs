//! Runs, by their public interface alone.
#![cfg(feature = "runs")]

mod admitted;
mod bare_hyper;
mod bounds;
mod calls;
mod closed;
mod duration;
mod ends;
mod errors;
mod expiry;
mod explicit;
mod foreign;
mod last_event;
mod memory;
mod messages;
mod model;
mod recorded;
mod refused;
mod repeated;
mod rig;
mod served;
#[cfg(feature = "tracing")]
mod spans;
mod start_with;
mod stats;
mod strangers;
mod table;

#[path = "../support/cuts.rs"]
mod cuts;
#[cfg(feature = "tracing")]
#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::{sync::mpsc, time::advance};
use tower::{Layer, ServiceExt};
use tower_sse::{
    Event, LastEventId, SseLayer,
    runs::{Outcome, Run, RunKey, Runs, StartError},
};

use {
    cuts::{cut, special_bytes},
    log::{current_span, record_by},
    rig::{
        Answer, Body, Client, End, Handler, Rig, after, by, data_of, field_of, full, key, post,
        runtime, settle, source, turn,
    },
    support::{
        Connection, EventReader, Feed, PATIENCE, Polled, Protocol, Requester, SECOND,
        cancelled_task, event_stream, listen, naive, poll_frame, serve_axum,
        server::serve_connection, soon, start, until,
    },
};
