//! The owner's side: the runs of this process, as the store has them.
//!
//! [`Exports`](exports::Exports) has the times at which runs are due. [`Export`](export::Export)
//! decides which commands a run needs, `export_replies.rs` applies the replies, and [`exporter`]
//! sends the commands in pipelines. [`SyncState`](sync_state::SyncState) is what the owner knows of
//! the store's copy. [`StoredBatches`](stored_batches::StoredBatches) counts the batches of a run
//! in the store. `lease.rs` decides when leases are renewed, and `pace.rs` when a pipeline may
//! begin.

pub(crate) mod export;
mod export_replies;
pub(crate) mod exporter;
pub(crate) mod exports;
mod lease;
mod pace;
pub(crate) mod plan;
mod queue;
mod stored_batches;
mod stored_runs;
pub(super) mod sync_state;
