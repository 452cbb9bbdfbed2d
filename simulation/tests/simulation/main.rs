#![cfg(tower_sse_simulation)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

mod client;
mod faults;
mod kinds;
mod oracle;
mod process;
mod publications;
mod scenes;
mod scheduler;
mod simulation;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use fastrand::Rng;
use futures_util::{FutureExt, StreamExt};
use tokio::{task::unconstrained, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    Decoder, Event, LastEventId, Message,
    hub::{Hub, PublishError, Retention, Subscription},
};
use tower_sse_redis::{BrokerStats, Redis, RedisHealth};
use tower_sse_simulation::{
    Log, Verdict, check_repeatable, check_seeds,
    redis::{Cut, Data, Marker, Network, Promotion, Refusal, Stream},
    runtime,
};

use client::Client;
use faults::Fault;
use oracle::{History, Life};
use process::Process;
use publications::{
    Journal, Kind, Publication, Publications, Published, Received, overtaken, sequence,
};
use scheduler::Scheduler;
