#![cfg(tower_sse_simulation)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

mod calls;
mod client;
mod crowd;
mod faults;
mod gate;
mod kinds;
mod oracle;
mod scheduler;
mod service;
mod simulation;
mod world;

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{cell::RefCell, collections::BTreeMap, convert::Infallible, ops::Range, pin::Pin};

use calls::{Answer, AnswerEnd, Call, Plan, Received};
use client::{Attempt, request};
use fastrand::Rng;
use faults::Fault;
use futures_util::{Stream, StreamExt, stream};
use gate::Machines;
use http::{Request, Response, StatusCode, header::HeaderValue, request::Parts};
use http_body::Body;
use kinds::Severity;
use oracle::History;
use scheduler::PROCESSES;
use service::{Process, Settings};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::decode::{Decoder, Message};
use tower_sse::runs::{Outcome, Run, RunEnd, RunError, RunKey, Runs, StartError};
use tower_sse::simulation::{Host, Task};
use tower_sse::{BoxError, Event, LastEventId, layer::EventBody};
use tower_sse::{Retention, SseLayer, StreamOptions, decode::MessageStream};
use tower_sse_redis::{Health, Redis};
use tower_sse_simulation::redis::{BEGIN, Cut, Data, Network, Promotion, Refusal};
use tower_sse_simulation::{Log, Verdict};
use tower_sse_simulation::{check_repeatable, check_seeds, runtime, serve_this_thread};
use world::{Report, Stop, World};
