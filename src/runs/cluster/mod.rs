//! Runs of several processes, through a store that they share.
//!
//! - [`store`] is the interface to the store: [`RunStore`](store::RunStore) connects, and
//!   [`Store`](store::Store) executes each [`Command`](command::Command).
//! - [`inbox`] receives what the store pushes.
#![allow(dead_code, unreachable_pub)] // until it is connected

pub(crate) mod command;
pub(crate) mod inbox;
pub(crate) mod reply;
pub(crate) mod run_id;
pub(crate) mod store;
