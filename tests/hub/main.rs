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
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    error::Error,
    future::{pending, poll_fn, ready},
    iter, mem,
    net::SocketAddr,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Barrier, LazyLock, Mutex, MutexGuard, OnceLock,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, UNIX_EPOCH},
};

use allocation_counter::measure;
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::{
    runtime::{self, Builder, Handle, Runtime},
    sync::watch,
    task::yield_now,
    time::{Instant, advance, interval, sleep},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::{
    BoxError, Decoder, Encoded, Event, EventBody, EventId, LastEventId, Message, SseBody, SseLayer,
    filter::{self, FilterBody},
    hub::{
        GapPolicy, Hub, HubBuilder, PublishError, Retention, Subscribe, Subscription,
        broker::{Acknowledged, Arrival, Broker, Closed, Feed, Publication, Publisher},
    },
    streams::{CloseError, Streams},
    testing::{
        MemoryBroker,
        broker::{Fault, check},
    },
};

use client::{
    Client, asleep, connect_by_hand, describe, end, foreign, id, last_id, publish, publish_all,
    read, resumed, sequence, subscribed, wait,
};
use fed::{connect, connect_with, connected};
use model::{Limits, Naive, Published, Received, TOPICS};
use reentry::{Run, without_deadlock};
use support::{
    EventReader, MILLISECOND, PATIENCE, Polled, Requester, SECOND, Wakes, answer_to, case,
    poll_frame, serve_axum, soon, until,
};
use visitor::Visitor;
use world::{Process, World};
