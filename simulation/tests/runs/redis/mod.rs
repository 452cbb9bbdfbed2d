//! A model of Redis in memory: what runs use, with faults as operations.
//!
//! `Server` executes commands, and the scripts of the crate by an interpreter of Lua. `Network` has
//! the servers and the processes' connections to them. The test `differential` compares a `Server`
//! with a real one. Ids, replies and streams are those of the simulation of hubs.

mod connection;
mod differential;
mod hash;
#[path = "../../simulation/redis/id.rs"]
#[allow(dead_code)]
mod id;
mod lua;
mod network;
mod operations;
mod pubsub;
#[path = "../../simulation/redis/resp.rs"]
#[allow(dead_code)]
mod resp;
mod server;
mod state;
#[path = "../../simulation/redis/stream.rs"]
#[allow(dead_code)]
mod stream;
mod value;

pub(crate) use self::{
    network::{BEGIN, Network},
    state::{Cut, Data, Refusal},
};
