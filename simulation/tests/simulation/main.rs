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

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use client::{Client, Process};
use fastrand::Rng;
use faults::Fault;
use futures_util::{FutureExt, StreamExt};
use oracle::{History, Life};
use publications::{
    Journal, Kind, Publication, Publications, Published, Received, overtaken, sequence,
};
use scheduler::Scheduler;
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
