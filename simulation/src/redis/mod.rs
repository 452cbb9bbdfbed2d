//! A model of Redis in memory: only what the crate and an operator use, with faults as operations.
//!
//! `Server` executes commands, and the scripts of the crate by an interpreter of Lua. `Network` has
//! the servers and the processes' connections to them. The tests in `differential/` compare a
//! `Server` with a real one.

mod claims;
mod connection;
#[cfg(test)]
mod differential;
mod hash;
mod id;
mod lua;
mod network;
mod operations;
mod pubsub;
mod refusal;
mod resp;
mod server;
mod state;
mod stream;
mod stream_commands;
mod value;

pub use self::{
    network::{BEGIN, Network},
    operations::Promotion,
    refusal::Refusal,
    state::{Cut, Data, Marker, Overtaken},
    stream::{Fields, Stream},
};

/// The key of a hub's stream, which is the broker's default.
const KEY: &[u8] = b"tower-sse";
