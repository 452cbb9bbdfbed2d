#![cfg(tower_sse_simulation)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

mod calls;
mod client;
mod crowd;
mod faults;
mod gate;
mod kinds;
mod oracle;
mod process;
mod scheduler;
mod service;
mod simulation;
mod world;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use calls::{Answer, AnswerEnd, Call, Plan, Received};
use client::{Attempt, request};
use fastrand::Rng;
use faults::Fault;
use futures_util::StreamExt;
use gate::Machines;
use http::{Request, StatusCode};
use kinds::Severity;
use oracle::History;
use process::{Process, Settings};
use scheduler::PROCESSES;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower_sse::{
    Decoder, LastEventId,
    runs::{Outcome, Run, RunKey, Runs, StartError},
};
use tower_sse_simulation::{
    Log, Verdict,
    redis::{Cut, Network, Refusal},
};
use world::{Report, Stop, World};
