//! The hub, by its public interface alone.
#![cfg(feature = "hub")]

mod behind;
mod client;
#[cfg(feature = "testing")]
mod fed;
mod ids;
#[cfg(feature = "testing")]
mod loss;
mod many;
mod memory;
mod model;
mod naive;
#[cfg(feature = "testing")]
mod outcomes;
mod reentry;
mod retention;
mod served;
mod stats;
mod threads;
mod visitor;
mod wakes;
mod world;

#[path = "../support/mod.rs"]
mod support;
