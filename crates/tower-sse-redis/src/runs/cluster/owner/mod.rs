//! The owner's side: the runs of this process, as the store has them.
//!
//! [`Exports`](exports::Exports) has the times at which runs are due. [`Export`](export::Export)
//! decides which commands a run needs, and applies the replies. [`plan`] collects the commands of a
//! pipeline, which [`exporter`] sends. [`SyncState`](export::SyncState) is what the owner knows of the
//! store's copy, and [`stored`] which of its batches the store has.

pub(crate) mod export;
pub(crate) mod exporter;
pub(crate) mod exports;
pub(crate) mod plan;
mod queue;
mod stored;
