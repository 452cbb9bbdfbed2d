//! Runs of several processes over a real Redis server: attacks, deaths, disturbances, and what runs
//! cost Redis.

#![cfg(unix)]

mod attacks;
mod cost;
mod deaths;
mod disturbances;
#[path = "../../../e2e/tests/runs_cluster/rig/mod.rs"]
mod rig;
#[path = "../../../tests/support/mod.rs"]
mod support;

use rig::*;

/// The lease of a program that sets none.
const DEFAULT_LEASE: Duration = Duration::from_secs(8);
