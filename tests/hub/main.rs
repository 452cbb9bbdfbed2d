//! The hub, by its public interface alone, with and without a broker.
#![cfg(all(feature = "filter", feature = "hub", feature = "testing"))]

mod behind;
mod brokers;
mod by_hand;
mod client;
mod closes;
mod ended;
mod fed;
mod fed_history;
mod fed_threads;
mod ids;
mod loss;
mod loss_elsewhere;
mod loss_starts;
mod many;
mod memory;
mod messages;
mod model;
mod naive;
mod outcomes;
mod presence;
mod recipes;
mod reentry;
mod retention;
mod served;
mod since;
mod stalled;
mod starts;
mod stats;
mod threads;
mod visitor;
mod wakes;
mod world;

#[cfg(feature = "tracing")]
#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;

use std::{
    iter,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use tokio::time::advance;
use tower_sse::{
    Event, LastEventId, Message, SseLayer,
    hub::{GapPolicy, Hub, HubBuilder, PublishError, Retention, Subscription},
    testing::MemoryBroker,
};

use {
    by_hand::connect_by_hand,
    client::{
        Client, asleep, describe, end, foreign, id, last_id, publish, publish_all, read, resumed,
        sequence, subscribed, wait,
    },
    fed::{connect, connect_with, connected},
    ids::{hub, malformed},
    loss::gaps,
    naive::{AMPLE_MEMORY, Limits, Naive, Published, Received, TOPICS},
    reentry::{Run, without_deadlock},
    starts::hub_with_eviction_between,
    support::{
        EventReader, MILLISECOND, PATIENCE, Polled, Requester, SECOND, Wakes, answer_to, case,
        poll_frame, serve_axum, soon, until,
    },
    visitor::Visitor,
    world::{Process, World},
};
