//! A store in memory, with the faults of a store on a network, for tests.
//!
//! - [`MemoryStore`] is the connection of one process; `faults.rs` breaks it, and loses data.
//! - [`Server`](server::Server) has the claims and streams. It decides as the scripts of
//!   `src/redis/runs` do; `runs.rs` has its commands that concern one run.

mod faults;
mod runs;
mod server;
mod store;

pub(crate) use self::{server::State, store::MemoryStore};
