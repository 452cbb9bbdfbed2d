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
    future::ready,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use cuts::cut;
use futures_util::{FutureExt, stream};
use http::{Request, Response};
use http_body_util::BodyExt;
use properties::Planned;
use proptest::sample::select;
use rig::{Logged, PASS, call, fed_by, filters, outcome};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_sse::{
    BoxError, Encoded, Event, EventRef, SseLayer,
    filter::{
        self, EventFilter, FilterBody, FilterEnd, FilterLayer, FilterPipe, SourceEnd, Verdict,
    },
};
