#![cfg(tower_sse_simulation)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

mod client;
mod faults;
mod oracle;
mod publications;
mod recovery;
mod scenes;
mod scheduler;
mod simulation;
mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::{mem, ops::Range, time::Duration};

use client::Client;
use fastrand::Rng;
use futures_util::{FutureExt, StreamExt};
use oracle::History;
use publications::{Journal, Kind, Publication, Published, Received, sequence};
use scheduler::Hubs;
use tokio::{task::unconstrained, time::sleep};
use tower_sse::decode::{Decoder, Message};
use tower_sse::hub::{Hub, PublishError, Subscription};
use tower_sse::{Event, LastEventId, Retention};
use tower_sse_redis::{Error, Redis};
use tower_sse_simulation::redis::{Added, Cut, Data, Network, Promotion, Refusal, Stream};
use tower_sse_simulation::*;
use world::World;
