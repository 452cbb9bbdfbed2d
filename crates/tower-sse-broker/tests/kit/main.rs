//! The conformance kit of brokers, over brokers that are right and brokers that are wrong on purpose.

mod flaws;
mod local;
mod log;
mod memory;
mod sqlite;
#[path = "../../docs/sqlite_broker.rs"]
#[allow(missing_debug_implementations, unreachable_pub)]
mod sqlite_broker;

use std::sync::{Arc, Mutex, atomic::AtomicUsize, atomic::Ordering::Relaxed};
use std::time::{Duration, UNIX_EPOCH};
use std::{convert::Infallible, env, fs, mem, path::PathBuf, process};

use futures_util::StreamExt;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio::{sync::watch, task::yield_now};
use tower_sse::hub::broker::{Acknowledged, Arrival, Broker, Closed, Feed, Publication, Publisher};
use tower_sse::hub::{Hub, PublishError, Subscription};
use tower_sse::{Event, testing::MemoryBroker};
use tower_sse_broker::testing::{Fault, Problem, World, check, outcomes};

use log::{Entry, Log, encode, feed_entry};
use sqlite_broker::SqliteBroker;
