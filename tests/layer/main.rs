//! The layer, mostly without sockets: requests, heads, bodies polled by hand, reports, other layers
//! around it, and the compiler's inference. Also early heads, `Streams`, and the module `testing`.
// Without all features, some of the tests are left out, and their imports are unused.
#![cfg_attr(
    not(all(feature = "axum", feature = "testing", feature = "tracing")),
    allow(unused_imports)
)]

mod allocations;
mod client_kind;
mod composition;
mod defaults;
#[cfg(all(feature = "hub", feature = "runs"))]
mod errors;
mod headers;
mod inference;
mod limit;
mod logs;
mod nested;
mod options;
#[cfg(feature = "page")]
mod page;
mod refusal;
mod rig;
mod services;
#[cfg(all(feature = "axum", feature = "hub", feature = "runs"))]
mod storms;
mod unlayered;

#[path = "../body/mod.rs"]
mod body;
#[path = "../connection/mod.rs"]
mod connection;
#[cfg(all(
    feature = "axum",
    feature = "early-head",
    feature = "json",
    feature = "testing",
    feature = "tracing"
))]
#[path = "../early_head/mod.rs"]
mod early_head;
#[path = "../streams/mod.rs"]
mod streams;
#[path = "../testing/mod.rs"]
mod testing;

#[path = "../support/cuts.rs"]
mod cuts;
#[path = "../support/documented.rs"]
mod documented;
#[path = "../support/log.rs"]
mod log;
#[path = "../support/quoted.rs"]
mod quoted;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::future::{self, pending, ready};
use std::marker::{PhantomData, PhantomPinned};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::{Pin, pin};
use std::process::{self, Command};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::{Arc, Barrier, LazyLock, Mutex, Weak, mpsc};
use std::task::{Context, Poll, Waker};
use std::{cell::Cell, convert::Infallible, env, error::Error, fmt, fs, io, path::PathBuf, rc::Rc};
use std::{thread, time::Duration};

use allocation_counter::measure;
use axum::response::{IntoResponse, Sse, sse};
use axum::{Router, routing::get};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, future::join_all, poll, stream};
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::runtime;
use tokio::sync::{broadcast, oneshot};
use tokio::task::{coop, yield_now};
use tokio::time::{self, Instant, advance, interval, sleep, timeout};
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service, load_shed::error::Overloaded, service_fn};
use tower::{ServiceBuilder, ServiceExt};
use tower_http::trace::TraceLayer;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer, cors::CorsLayer};
use tower_sse::StreamOptions;
use tower_sse::decode::{Decoder, EventTooLarge, Message, MessageId, MessageStream};
use tower_sse::event::{Encode, Encoded, InvalidField};
use tower_sse::layer::{EventBody, IntoSse, SseBody, SseFuture, SseService, marker};
use tower_sse::stats::{Stats, StatsSnapshot};
use tower_sse::streams::{CloseError, Subjects};
#[cfg(feature = "testing")]
use tower_sse::testing::{TestClient, TestStream};
use tower_sse::{BoxError, CloseReason, CloseReport, Disconnect, Drain, Event, EventId, EventName};
use tower_sse::{Heartbeat, LastEventId, MaxAge, Refusal, Retry, SseLayer};
use tracing::Subscriber;
use tracing_subscriber::{layer::SubscriberExt, registry::Registry};

use log::{Log, record_by};
use refusal::{RefusalCause, event_source, full, refusing, two_seconds};
use rig::{Polled, Requester, Rig};
use support::*;
