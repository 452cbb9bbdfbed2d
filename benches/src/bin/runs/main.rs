//! What runs cost compared with a plain stream and with the hub.
//!
//! `runs [requests | events | replay | idle]` prints Markdown tables. Everything runs on one
//! thread. Times can be compared with each other: all include the check that the counting allocator
//! adds to each allocation.
//!
//! `runs WORK SUBJECT EVENTS` runs one case of `runs events` once, so that
//! `benches/callgrind_runs.sh` can count its instructions. `runs owner local EVENTS` runs 64
//! answers of 50 events a second. `runs owner connected EVENTS` does the same over a Redis server
//! that it starts.

mod events;
mod idle;
mod owner;
mod paced;
mod replay;
mod requests;
mod rounds;

use std::future::{poll_fn, ready};
use std::pin::{Pin, pin};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use std::{convert::Infallible, env, fmt::Debug, hint::black_box, rc::Rc, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::runtime::{self, Runtime};
use tokio::time::{interval, sleep};
use tokio::{net::TcpStream, task::yield_now};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::runs::{Outcome, Run, RunKey, Runs};
use tower_sse::{Event, SseLayer, hub::Hub, layer::EventBody};
use tower_sse_benches::{Case, drain::now, payload};
use tower_sse_redis::{Redis, RedisRuns};

use paced::event;

fn main() {
    const NAMES: [&str; 4] = ["requests", "events", "replay", "idle"];
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [name, subject, events] = &*arguments
        && name == "owner"
    {
        return owner::run(subject, events.parse().expect("a number of events"));
    }
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let runtime = Rc::new(runtime.expect("a runtime without I/O"));
    // Bodies that are polled outside of `block_on` need the runtime for their timers.
    let _entered = runtime.enter();
    if let [work, subject, events] = &*arguments
        && let Ok(events) = events.parse()
    {
        let mut cases = events::cases(&runtime);
        let case = cases.iter_mut().find(|case| case.work == work && case.subject == subject);
        black_box(case.expect("a case of that name").run(events));
        return;
    }
    let is_known = |argument: &String| NAMES.contains(&argument.as_str());
    let names = NAMES.join(" | ");
    assert!(arguments.iter().all(is_known), "usage: runs [{names}], or runs WORK SUBJECT EVENTS");
    let selected =
        |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    if selected("requests") {
        requests::measure();
    }
    if selected("events") {
        events::measure(&runtime);
    }
    if selected("replay") {
        replay::measure(&runtime);
    }
    if selected("idle") {
        idle::measure();
    }
}
