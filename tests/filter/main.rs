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

use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::{convert::Infallible, mem, net::SocketAddr, sync::atomic::AtomicUsize};
use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use proptest::sample::select;
use tokio::{task::yield_now, time};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, retry, service_fn};
use tower_sse::filter::{
    self, EventFilter, FilterBody, FilterEnd, FilterLayer, FilterPipe, SourceEnd, Verdict,
};
use tower_sse::runs::{RunKey, Runs};
use tower_sse::{
    BoxError, Drain, Event, SseLayer, decode::EventRef, event::Encoded, layer::EventBody,
};

use cuts::cut;
use properties::Planned;
use rig::{Logged, PASS, call, fed_by, filters, outcome};
