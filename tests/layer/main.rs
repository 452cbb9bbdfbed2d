//! The layer without sockets: requests, heads, bodies polled by hand, reports, other layers around
//! it, and the compiler's inference.

mod accept;
mod allocations;
mod bounds;
mod composition;
mod defaults;
mod ends;
mod errors;
mod foreign;
mod headers;
mod heartbeat;
mod inference;
mod last_event_id;
mod lifetime;
mod limit;
mod logs;
mod nested;
mod options;
mod pages;
mod program_errors;
mod refusal;
mod reports;
mod rig;
mod streams;
mod testing;
mod unlayered;
mod without_body;

#[path = "../support/cuts.rs"]
mod cuts;
#[path = "../support/documented.rs"]
mod documented;
#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;

use std::{
    convert::Infallible,
    future::ready,
    io,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    task::Poll,
    thread,
    time::Duration,
};

use axum::{Router, response::IntoResponse, routing::get};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::{self, Instant, advance};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_sse::{
    BoxError, CloseReason, Disconnect, Drain, Event, EventBody, Heartbeat, LastEventId, MaxAge,
    Refusal, Retry, SseBody, SseLayer, Stats, StreamOptions, marker,
};

use support::*;
