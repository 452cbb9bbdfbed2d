//! Runs of several processes over a real Redis server, with clients that reconnect to any of them.
//!
//! `slow/tests/cluster` has tests that take too long for every change. `.ci/slow runs-cluster` also
//! runs the long forms of tests here, which are ignored by default.

#![cfg(unix)]

mod deaths;
#[path = "../../../tests/support/redis_disguise.rs"]
mod disguise;
mod limits;
mod loads;
#[path = "../../../tests/support/redis_nodes.rs"]
mod nodes;
mod redis_faults;
#[path = "../../../tests/support/relay.rs"]
mod relay;
mod rig;
mod slots;
mod storm;
#[path = "../../../tests/support/mod.rs"]
mod support;

use disguise::as_one_server;
use nodes::Nodes;
use rig::*;
