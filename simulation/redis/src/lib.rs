//! An in-memory model of Redis with only what `tower-sse-redis` and an operator use. The functions
//! in `operations.rs` and `cluster.rs` cause faults.
//!
//! `Server` executes commands, and runs the crate's scripts with a Lua interpreter. `Network` has
//! the servers and the processes' connections to them. The tests in `differential/` compare a
//! `Server` with a real server.

mod cluster;
mod connection;
#[cfg(test)]
mod differential;
mod log;
mod lua;
mod network;
mod operations;
mod pubsub;
mod refusal;
mod replication;
mod resp;
mod server;
mod state;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use self::connection::Sent;
use self::replication::Replication;
use self::resp::{Command, Reply};
use self::server::{Outcome, Server, integer, number};
use self::state::{Connection, Direction, Link, Machine, State, Value};

pub use self::log::Log;
pub use self::network::{BEGIN, Network};
pub use self::state::{Added, Cut, Data};
pub use self::stream::{Fields, Stream};
pub use self::{operations::Promotion, refusal::Refusal};

/// The key of the hubs' stream.
const KEY: &[u8] = b"tower-sse";
