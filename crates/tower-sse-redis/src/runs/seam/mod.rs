//! The interface to the store that processes share.
//!
//! - [`RunStore`](store::RunStore) connects to a store. [`Store`](store::Store) executes each
//!   [`Command`](command::Command) and returns its [`Reply`](reply::Reply). [`Inbox`](inbox::Inbox)
//!   receives what the store pushes.
//! - [`RunId`](run_id::RunId) names a run.

pub(crate) mod command;
pub(crate) mod inbox;
pub(crate) mod reply;
pub(crate) mod run_id;
pub(crate) mod store;
