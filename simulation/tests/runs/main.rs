#![cfg(tower_sse_simulation)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

mod asking;
mod calls;
mod client;
mod crowd;
mod faults;
mod oracle;
mod scheduler;
mod settings;
mod simulation;
mod world;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use std::{collections::BTreeMap, convert::Infallible, ops::Range};

use calls::{Answer, AnswerEnd, Call, Plan, Received};
use client::{Client, Habit, Kind};
use fastrand::Rng;
use faults::Severity;
use futures_util::{Stream, StreamExt, stream};
use http::{Request, Response, StatusCode, header::HeaderValue, request::Parts};
use http_body::Body;
use oracle::History;
use scheduler::Cluster;
use settings::Settings;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::decode::{Decoder, Message, MessageStream};
use tower_sse::layer::EventBody;
use tower_sse::runs::{Outcome, Run, RunEnd, RunError, RunKey, Runs, StartError};
use tower_sse::{BoxError, Event, LastEventId, SseLayer, StreamOptions};
use tower_sse_redis::{Error, Health, Redis};
use tower_sse_simulation::redis::{Cut, Data, Network, Promotion, Refusal};
use tower_sse_simulation::*;
use world::{Program, World};
