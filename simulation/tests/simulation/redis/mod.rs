//! A model of Redis in memory: only what the crate and an operator use, with faults as operations.
//!
//! `Server` executes commands, `Network` has the servers and the hubs' connections to them. The
//! test `differential` compares a `Server` with a real one.

mod connection;
#[cfg(test)]
mod differential;
mod id;
mod network;
mod operations;
mod refusal;
// The simulation of runs shares it, and has pushes.
#[allow(dead_code)]
mod resp;
mod script;
mod server;
mod state;
mod stream;

pub(crate) use self::{
    network::Network,
    refusal::Refusal,
    state::{Cut, Data},
    stream::Stream,
};

/// The key of the stream, which is the broker's default.
pub(crate) const KEY: &[u8] = b"tower-sse";
