#![cfg(tower_sse_simulation)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

mod client;
mod faults;
mod kinds;
mod oracle;
mod publications;
mod scenes;
mod scheduler;
mod simulation;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::{mem, ops::Range, time::Duration};

use client::{Client, Process};
use fastrand::Rng;
use faults::Fault;
use futures_util::{FutureExt, StreamExt};
use oracle::{History, Life};
use publications::sequence;
use publications::{Journal, Kind, Publication, Publications, Published, Received, overtaken};
use scheduler::Scheduler;
use tokio::{task::unconstrained, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::decode::{Decoder, Message};
use tower_sse::hub::{Hub, PublishError, Subscription};
use tower_sse::{Event, LastEventId, Retention};
use tower_sse_redis::{BrokerStats, Health, Redis};
use tower_sse_simulation::redis::{Cut, Data, Marker, Network, Promotion, Refusal, Stream};
use tower_sse_simulation::{Log, Verdict};
use tower_sse_simulation::{check_repeatable, check_seeds, runtime, serve_this_thread};
