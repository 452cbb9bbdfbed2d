//! The hub, by its public interface alone, with and without a broker.
#![cfg(all(feature = "filter", feature = "hub", feature = "testing"))]

mod behind;
mod brokers;
mod client;
mod closes;
mod ended;
mod fed;
mod ids;
mod loss;
mod many;
mod memory;
mod model;
mod outcomes;
mod presence;
mod recipes;
mod reentry;
mod retention;
mod served;
mod since;
mod stats;
mod threads;
mod visitor;
mod wakes;
mod world;

#[cfg(feature = "tracing")]
#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;

use std::{
    convert::Infallible,
    future::pending,
    iter,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Barrier, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use allocation_counter::measure;
use bytes::Bytes;
use client::{
    Client, asleep, connect_by_hand, describe, end, foreign, id, last_id, publish, publish_all,
    read, resumed, sequence, subscribed, wait,
};
use fed::{connect, connect_with, connected};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::Request;
use http_body_util::BodyExt;
use model::{Limits, Naive, Published, Received, TOPICS};
use reentry::{Run, without_deadlock};
use serde_json::{Value, json};
use support::{
    EventReader, MILLISECOND, PATIENCE, Polled, Requester, SECOND, Wakes, answer_to, case,
    poll_frame, serve_axum, soon, until,
};
use tokio::{
    sync::watch,
    task::yield_now,
    time::{Instant, advance, sleep},
};
use tower_sse::{
    Event, EventBody, EventId, LastEventId, Message, SseLayer,
    hub::{
        GapPolicy, Hub, HubBuilder, PublishError, Retention, Subscribe, Subscription,
        broker::{Acknowledged, Arrival, Broker, Closed, Feed, Publication, Publisher},
    },
    streams::Streams,
    testing::{
        MemoryBroker,
        broker::{Fault, check},
    },
};
use visitor::Visitor;
use world::{Process, World};
