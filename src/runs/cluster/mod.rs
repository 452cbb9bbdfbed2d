//! Runs of several processes, through a store that they share.
//!
//! A run belongs to the process that called the service, its owner. Its claim in the store says who
//! has the key, and its stream has its events.
//!
//! - [`seam`] is the interface to the store.
//! - [`owner`] exports the runs of this process, and [`elsewhere`] has copies of those of others.
//! - `requests.rs` finds and claims runs of all processes for requests, and `cancel.rs` cancels them.
//!   `claims.rs` sends the claim of a new run.

mod cancel;
mod claims;
#[allow(clippy::module_inception)]
mod cluster;
mod elsewhere;
mod key_locks;
#[cfg(test)]
mod memory_store;
mod owner;
mod requests;
pub(crate) mod seam;
#[cfg(test)]
mod tests;
pub(crate) mod timing;

pub use self::seam::store::RunStore;
pub(crate) use self::{cluster::Cluster, seam::run_id::RunId};
