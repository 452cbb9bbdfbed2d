//! Runs the test kit with correct brokers and with brokers that have a flaw on purpose.

mod batch;
mod flaws;
mod list;
#[path = "../../docs/list_broker.rs"]
#[allow(missing_debug_implementations, unreachable_pub)]
mod list_broker;
mod local;
mod log;
mod memory;

use std::sync::{Arc, Mutex, OnceLock, atomic::AtomicUsize, atomic::Ordering::Relaxed};
use std::time::{Duration, UNIX_EPOCH};
use std::{collections::HashSet, convert::Infallible, mem};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio::{sync::watch, task::yield_now};
use tower_sse::hub::PublishError;
use tower_sse::hub::broker::{Acknowledged, Arrival, Broker, Closed, Feed, Publication, Publisher};
use tower_sse::{Event, testing::MemoryBroker};
use tower_sse_broker::testing::{Fault, Problem, World, check, play};

use list_broker::{Kind, ListBroker};
use log::{Entry, Log, encode, feed_entry};
