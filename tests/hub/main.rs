//! The hub, by its public interface alone.
#![cfg(feature = "hub")]

mod behind;
mod client;
mod ids;
mod many;
mod memory;
mod model;
mod naive;
mod reentry;
mod retention;
mod served;
mod threads;
mod visitor;
mod wakes;

#[path = "../support/mod.rs"]
mod support;
