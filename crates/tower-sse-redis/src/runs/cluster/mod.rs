//! Runs of several processes, through a store that they share.
//!
//! A run belongs to its owner, the process that started it. In the store, a claim says
//! which run has a key, and each run's events are in a stream.
//!
//! - [`owner`] exports the runs of this process, and [`elsewhere`] has copies of the runs of other
//!   processes.
//! - [`Cluster`](cluster::Cluster) opens the store and holds what the other modules share.
//! - [`Runs`](tower_sse::runs::Runs) calls `requests.rs`, which finds, claims and cancels the runs
//!   of all processes. Its `open` serves a run from the original if this process has it, and asks
//!   [`elsewhere`] for a mirror of any other.

pub(super) mod cluster;
mod elsewhere;
mod owner;
mod requests;
#[cfg(test)]
mod tests;
mod timing;
