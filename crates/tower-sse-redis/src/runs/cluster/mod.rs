//! Runs of several processes, through a store that they share.
//!
//! A run belongs to the process that called the service, its owner. In the store, a claim says
//! which run has a key, and each run has a stream with its events.
//!
//! - [`owner`] exports the runs of this process, and [`elsewhere`] has copies of the runs of other
//!   processes.
//! - `requests.rs` is what [`Runs`](tower_sse::runs::Runs) calls: it finds and claims runs of all
//!   processes for requests, cancels them, and sends the claim of a new run. Its `open` serves a run
//!   of this process from the original, and asks [`elsewhere`] for a mirror of any other.

#[allow(clippy::module_inception)]
pub(super) mod cluster;
mod elsewhere;
mod owner;
mod requests;
#[cfg(test)]
mod tests;
mod timing;
