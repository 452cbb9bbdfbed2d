//! Runs, by their public interface alone.
#![cfg(feature = "runs")]

mod bare_hyper;
mod bounds;
mod calls;
mod closed;
mod duration;
mod ends;
mod expiry;
mod explicit;
mod foreign;
mod memory;
mod messages;
mod model;
mod refused;
mod repeated;
mod rig;
mod running;
mod served;
#[cfg(feature = "tracing")]
mod spans;
mod stats;
mod strangers;
mod table;

#[path = "../support/mod.rs"]
mod support;
