//! The layer without sockets: requests, heads, bodies polled by hand, reports, other layers around
//! it, and the compiler's inference.

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
mod refusal;
mod reports;
mod rig;
mod streams;
mod testing;
mod unlayered;

#[path = "../support/cuts.rs"]
mod cuts;
#[path = "../support/documented.rs"]
mod documented;
#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;

use std::{
    cell::Cell,
    collections::BTreeSet,
    convert::Infallible,
    env,
    error::Error,
    fmt,
    future::{pending, ready},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    process::Command,
    rc::Rc,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use allocation_counter::measure;
use axum::{
    Router,
    response::{IntoResponse, Sse, sse},
    routing::get,
};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use log::{Log, record_by};
use refusal::{RefusalCause, event_source, full, refusing, two_seconds};
use rig::{Polled, Requester, Rig};
use support::*;
use tokio::{
    runtime,
    sync::oneshot,
    time::{self, Instant, advance, interval, timeout},
};
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, cors::CorsLayer,
    metrics::InFlightRequestsLayer, set_header::SetResponseHeaderLayer, trace::TraceLayer,
};
use tower_sse::{
    BoxError, CloseReason, CloseReport, Decoder, Disconnect, Drain, Encode, Encoded, Event,
    EventBody, Heartbeat, IntoSse, LAST_EVENT_ID, Label, LastEventId, MaxAge, Message, Refusal,
    Retry, SseBody, SseLayer, SseService, Stats, StatsSnapshot, StreamOptions, marker,
    streams::Subjects,
    testing::{TestClient, TestStream},
};
use tracing::Subscriber;
use tracing_subscriber::{layer::SubscriberExt, registry::Registry};
