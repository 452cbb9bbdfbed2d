//! Filters of events in flight.
#![cfg(feature = "filter")]

mod clients;
mod composition;
mod ends;
mod held;
mod properties;
mod rig;
mod sizes;
mod waits;

#[path = "../support/cuts.rs"]
mod cuts;
#[path = "../support/planned.rs"]
mod planned;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::{convert::Infallible, fmt, mem, sync::atomic::AtomicUsize};
use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{HeaderName, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use proptest::sample::select;
use tokio::{task::yield_now, time};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_sse::filter::{
    self, EventFilter, FilterBody, FilterEnd, FilterLayer, SourceEnd, Verdict,
};
use tower_sse::runs::{RunKey, Runs, StartError};
use tower_sse::{BoxError, Event, SseLayer, decode::EventRef, layer::EventBody};

use cuts::cut;
use planned::{Logged, Planned, added, assert_discarded, outcome};
use rig::{PASS, at_end, call, fed_by, filters, on_events, read};
use support::{naive, naive_filter};
