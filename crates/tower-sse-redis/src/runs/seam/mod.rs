//! The interface to the store that processes share.
//!
//! - A store executes each [`Command`](command::Command) and returns its [`Reply`](reply::Reply). It
//!   passes what it pushes to a function, as [`Incoming`](inbox::Incoming).
//! - [`RunId`](run_id::RunId) names a run.

pub(crate) mod command;
pub(crate) mod inbox;
pub(crate) mod reply;
pub(crate) mod run_id;
pub(crate) mod store;
