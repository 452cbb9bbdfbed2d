//! Runs, by their public interface alone.
#![cfg(feature = "runs")]

mod admitted;
mod bounds;
mod calls;
mod closed;
mod ends;
mod errors;
mod expiry;
mod explicit;
mod interrupted;
mod last_event;
mod memory;
mod model;
mod posts_again;
mod recorded;
mod refused;
mod rig;
mod served;
#[cfg(feature = "early-head")]
mod silence;
#[cfg(feature = "tracing")]
mod spans;
mod start_with;
mod stats;
mod table;

#[path = "../support/cuts.rs"]
mod cuts;
#[cfg(feature = "tracing")]
#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;

use std::future::{Ready, pending, ready};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Barrier, Mutex, OnceLock, Weak};
use std::{collections::VecDeque, convert::Infallible, error::Error, net::SocketAddr};
use std::{panic::AssertUnwindSafe, sync::atomic::Ordering::Relaxed, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, request::Parts};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceExt, service_fn, util::ServiceFn};
use tower_sse::decode::{Decoder, Message};
use tower_sse::layer::{EventBody, SseBody};
use tower_sse::runs::{Attachment, InvalidKey, Outcome, Run, RunEnd, RunError};
use tower_sse::runs::{RunKey, Runs, RunsBuilder, RunsStats, StartError};
use tower_sse::streams::{Streams, Subjects};
use tower_sse::{BoxError, ClientKind, CloseReason, Disconnect, Drain, Event, event::Encoded};
use tower_sse::{Heartbeat, LastEventId, MaxAge, Refusal, SseLayer, StreamOptions};

use cuts::{cut, special_bytes};
use log::{Log, current_span, record_by};
use rig::{Answer, Body, Client, End, Handler, Rig, after, by, data_of, ended_as, field_of, full};
use rig::{key, post, runtime, settle, sibling, source, turn};
use support::{EventReader, Feed, PATIENCE, Polled, Protocol, Requester, SECOND};
use support::{Wakes, soon, until};
use support::{cancelled_task, event_stream, listen, naive, poll_frame, serve_axum};
