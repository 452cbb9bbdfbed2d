//! The hub, by its public interface alone, with and without a broker.
#![cfg(all(feature = "filter", feature = "hub", feature = "testing"))]

mod behind;
mod brokers;
mod burst;
mod client;
mod closes;
mod ended;
mod fed;
mod gap;
mod gap_end;
mod heartbeats;
mod held;
mod ids;
mod loss;
mod many;
mod memory;
mod model;
mod moves;
mod outcomes;
mod own_ids;
mod presence;
mod recipes;
mod reentry;
mod retention;
mod served;
mod since;
mod sizes;
mod start;
mod stats;
mod threads;
mod view;
mod visitor;
mod wakes;
mod world;

#[cfg(feature = "tracing")]
#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use std::{convert::Infallible, iter, net::SocketAddr, ops::Range, pin::Pin};
use std::{sync::atomic::AtomicUsize, thread};

use allocation_counter::measure;
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::runtime::{self, Builder, Handle, Runtime};
use tokio::task::{coop::unconstrained, yield_now};
use tokio::time::{Instant, advance, interval};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::decode::{Decoder, Message};
use tower_sse::filter::{self, FilterBody, Verdict};
use tower_sse::hub::broker::{Acknowledged, Arrival, Broker, Feed, Publication, Publisher};
use tower_sse::hub::{GapPolicy, GapReason, Hub, HubBuilder, HubStats};
use tower_sse::hub::{PublishError, Subscribe, Subscription};
use tower_sse::streams::Streams;
use tower_sse::testing::{MemoryBroker, TestClient};
use tower_sse::{BoxError, Event, EventId, LastEventId, event::Encoded, layer::EventBody};
use tower_sse::{Drain, Retention, SseLayer, layer::SseBody};

use client::{Client, arrival, asleep, connect_by_hand, describe, end, fed_by_hand, foreign, id};
use client::{last_id, publish, publish_all, read, resumed, sequence, subscribed};
use fed::{connect, connect_with, connected};
use model::{Limits, Naive, Published, Received, TOPICS};
use reentry::{Run, without_deadlock};
use support::{EventReader, MILLISECOND, PATIENCE, Polled, Reports, Requester};
use support::{SECOND, Wakes, answer_to, case, event_stream, poll_frame, serve_axum, soon, until};
use visitor::Visitor;
use world::{Process, World};
