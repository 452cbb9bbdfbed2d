//! Filters of events in flight.
#![cfg(feature = "filter")]

mod clients;
mod composition;
mod ends;
mod held;
mod memory;
mod plan;
mod properties;
mod rig;
mod servers;
mod waits;

#[path = "../support/cuts.rs"]
mod cuts;
#[path = "../support/mod.rs"]
mod support;
