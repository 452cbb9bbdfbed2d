//! Runs of several processes, through a store that they share.
//!
//! A run belongs to the process that called the service, its owner. Its claim in the store says who
//! has the key, and its stream has its events.
//!
//! - [`RunStore`](store::RunStore) connects to a store. [`Store`](store::Store) executes each
//!   [`Command`](command::Command) and returns its [`Reply`](reply::Reply). [`Inbox`](inbox::Inbox)
//!   receives what the store pushes.
//! - `requests.rs` finds and claims runs of all processes for requests, and `cancel.rs` cancels them. `claims.rs` sends the claim of a new run. `ahead.rs` waits for events that a client has
//!   seen and this process has not.
//! - The owner: [`Exports`](exports::Exports) has when each run is due, [`Export`](export::Export)
//!   decides which commands a run needs, `export_replies.rs` what their replies change, and
//!   [`exporter`] sends them in pipelines. [`StoredBatches`](stored_batches::StoredBatches) counts
//!   what the store has of a run. `lease.rs` says when leases are renewed, and `pace.rs` when
//!   a pipeline may begin.
//! - Other processes: a [`Mirror`](mirror::Mirror) copies a run while a client reads it there, which
//!   a [`Load`](load::Load) brings up to date. [`owner_checks`] asks the store whether its owner lives.

mod ahead;
mod cancel;
mod claims;
#[allow(clippy::module_inception)]
mod cluster;
pub(crate) mod command;
mod export;
mod export_replies;
mod exporter;
mod exports;
mod head;
pub(crate) mod inbox;
mod key_locks;
mod lease;
mod load;
#[cfg(test)]
mod memory_store;
mod mirror;
mod mirrors;
mod owner_checks;
mod pace;
mod plan;
mod queue;
pub(crate) mod reply;
mod requests;
pub(crate) mod run_id;
pub(crate) mod store;
mod stored_batches;
mod stored_runs;
#[cfg(test)]
mod tests;
pub(crate) mod timing;

pub use self::store::RunStore;
pub(crate) use self::{
    cluster::{Cluster, connect},
    exports::Mark,
    run_id::RunId,
    timing::RETRY_DELAY,
};
