//! Filters of events in flight.
#![cfg(feature = "filter")]

mod clients;
mod composition;
mod ends;
mod held;
mod properties;
mod rig;
mod servers;
mod waits;

#[path = "../support/cuts.rs"]
mod cuts;
#[path = "../support/mod.rs"]
mod support;

use std::{
    convert::Infallible,
    future::{pending, ready},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use proptest::sample::select;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, retry, service_fn};
use tower_sse::{
    BoxError, Drain, Encoded, Event, EventBody, EventRef, SseLayer,
    filter::{
        self, BoxFilterLayer, EventFilter, FilterBody, FilterEnd, FilterLayer, FilterPipe,
        SourceEnd, Verdict,
    },
    runs::{RunKey, Runs},
};

use cuts::cut;
use properties::Planned;
use rig::{Logged, PASS, call, fed_by, filters, outcome};
