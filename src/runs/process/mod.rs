//! All runs of a process: which run has a key, which are running, and which are evicted.
//!
//! - [`Shared`] is what all clones of a [`Runs`](crate::runs::Runs) share. It locks the
//!   [`Registry`](registry::Registry), and does deferred work after it has released all locks.
//!   Its task forgets runs after `retain_for`.
//! - `eviction.rs` decides what is kept: [`Shared::make_room`] evicts runs that have ended, and what
//!   is mirrored. A running run is never evicted.
//! - [`claim`] decides whether a request starts a run.

mod cancel;
mod claim;
mod ended_runs;
mod eviction;
#[allow(clippy::module_inception)]
mod registry;
mod shared;

pub(crate) use self::{
    claim::{Claim, Purpose},
    ended_runs::EndedRuns,
    shared::Shared,
};
