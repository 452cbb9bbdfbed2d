//! A store of runs in memory, with the faults of a store on a network, for the tests of this
//! workspace. Exempt from semantic versioning.
//!
//! - [`MemoryStore`] is the connection of one process; `control.rs` breaks it by its
//!   [`Faults`], and loses data.
//! - [`Server`] has the claims and streams. It decides as the scripts of
//!   `crates/tower-sse-redis/src/runs` do; `runs.rs` has its commands that concern one run. The
//!   scenes of `e2e/tests/runs_store/` check this store and the scripts.

mod control;
mod faults;
mod runs;
mod server;
mod store;

pub use self::{
    faults::Faults,
    server::{Claim, Server, State, Stream},
    store::MemoryStore,
};
