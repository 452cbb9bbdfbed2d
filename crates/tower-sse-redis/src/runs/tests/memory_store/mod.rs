//! A store of runs in memory, with the faults of a store on a network.
//!
//! - [`MemoryStore`] is the connection of one process; `control.rs` breaks it by its
//!   [`Faults`], and loses data.
//! - `Server` has the claims and streams. It decides as the scripts of Redis do; `runs.rs`
//!   has its commands that concern one run.

mod control;
mod faults;
mod runs;
mod server;
mod store;

pub(crate) use self::server::State;
pub(crate) use self::store::{Link, MemoryStore};
