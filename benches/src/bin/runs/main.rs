//! What runs cost beside a plain stream, and beside the hub.
//!
//! `runs [requests | events | replay | idle]` prints Markdown tables. Everything is on one thread:
//! times of rows can be compared with each other, and all include the check that the counting
//! allocator adds to each allocation.

mod events;
mod idle;
mod paced;
mod replay;
mod requests;
mod rounds;

use std::{env, rc::Rc};

use tokio::runtime;

fn main() {
    const NAMES: [&str; 4] = ["requests", "events", "replay", "idle"];
    let arguments: Vec<_> = env::args().skip(1).collect();
    let is_known = |argument: &String| NAMES.contains(&argument.as_str());
    assert!(arguments.iter().all(is_known), "usage: runs [{}]", NAMES.join(" | "));
    let selected =
        |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    let runtime = Rc::new(runtime.expect("a runtime without I/O"));
    // For bodies that are polled outside of the runtime: their timers.
    let _entered = runtime.enter();
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
