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
    collections::BTreeMap,
    mem,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use client::Client;
use fastrand::Rng;
use faults::Fault;
use oracle::{History, Life};
use process::Process;
use publications::{
    Journal, Kind, Publication, Publications, Published, Received, overtaken, sequence,
};
use scheduler::Scheduler;
use tokio::time::sleep;
use tower_sse::{Message, hub::Hub};
use tower_sse_simulation::{
    Log, Verdict,
    redis::{Cut, Data, Marker, Network, Promotion, Refusal},
    runtime,
};
