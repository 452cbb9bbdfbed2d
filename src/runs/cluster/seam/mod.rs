//! The interface to the store that processes share.
//!
//! - [`RunStore`](store::RunStore) connects to a store. [`Store`](store::Store) executes each
//!   [`Command`](command::Command) and returns its [`Reply`](reply::Reply). [`Inbox`](inbox::Inbox)
//!   receives what the store pushes.
//! - [`RunId`](run_id::RunId) names a run. `head.rs` and `stream_options.rs` encode the options of
//!   a run's answer.

pub(crate) mod command;
pub(crate) mod head;
pub(crate) mod inbox;
pub(crate) mod reply;
pub(crate) mod run_id;
pub(crate) mod store;
mod stream_options;
