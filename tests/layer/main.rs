//! The layer without sockets: requests, heads, bodies polled by hand, reports, other layers around
//! it, and the compiler's inference.
// Without its features, the program has only some of its tests.
#![cfg_attr(
    not(all(feature = "axum", feature = "testing", feature = "tracing")),
    allow(unused_imports)
)]

mod allocations;
mod composition;
mod defaults;
mod headers;
mod inference;
mod limit;
mod logs;
mod nested;
mod options;
mod refusal;
mod rig;
mod unlayered;

#[path = "../body/mod.rs"]
mod body;
#[path = "../connection/mod.rs"]
mod connection;
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
#[path = "../support/mod.rs"]
mod support;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    env,
    error::Error,
    fmt, fs,
    future::{self, pending, ready},
    io,
    marker::{PhantomData, PhantomPinned},
    panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind},
    path::PathBuf,
    pin::{Pin, pin},
    process::{self, Command},
    rc::Rc,
    sync::{
        Arc, Barrier, LazyLock, Mutex, OnceLock, Weak,
        atomic::{
            AtomicBool, AtomicU32, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
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
use futures_util::{FutureExt, Stream, StreamExt, future::join_all, poll, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
    request::Parts,
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    runtime,
    sync::{broadcast, oneshot},
    task::{JoinSet, coop, yield_now},
    time::{self, Instant, advance, interval, sleep, timeout},
};
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;
use tonic_web::GrpcWebLayer;
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer,
    load_shed::error::Overloaded, service_fn,
};
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, cors::CorsLayer,
    metrics::InFlightRequestsLayer, set_header::SetResponseHeaderLayer, trace::TraceLayer,
};
#[cfg(feature = "testing")]
use tower_sse::testing::{TestClient, TestStream};
use tower_sse::{
    BoxError, CloseReason, CloseReport, Decoder, Disconnect, Drain, Encode, Encoded, Event,
    EventBody, EventId, EventName, EventTooLarge, Heartbeat, IntoSse, InvalidField, LAST_EVENT_ID,
    Label, LabelStats, LastEventId, MaxAge, Message, MessageId, MessageStream, Refusal,
    ResponseFuture, Retry, SseBody, SseLayer, SseService, Stats, StatsSnapshot, StreamOptions,
    marker,
    streams::{CloseError, Subjects},
};
use tracing::Subscriber;
use tracing_subscriber::{layer::SubscriberExt, registry::Registry};

use log::{Log, record_by};
use refusal::{RefusalCause, event_source, full, refusing, two_seconds};
use rig::{Polled, Requester, Rig};
use support::*;
