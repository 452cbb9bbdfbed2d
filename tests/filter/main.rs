//! Filters of events in flight.
#![cfg(feature = "filter")]

mod clients;
mod composition;
mod ends;
mod held;
mod memory;
mod plan;
mod properties;
mod rig;
mod servers;
mod waits;

#[path = "../support/cuts.rs"]
mod cuts;
#[path = "../support/mod.rs"]
mod support;

use std::{future::ready, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::service_fn;
use tower_sse::{
    BoxError, EventRef,
    filter::{self, EventFilter, FilterBody, FilterLayer, FilterPipe, SourceEnd, Verdict},
};
