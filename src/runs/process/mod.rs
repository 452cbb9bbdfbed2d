//! All runs of a process: which run has a key, which are running, and which are evicted.
//!
//! - [`Process`] is what all clones of a [`Runs`](crate::runs::Runs) share. It locks the
//!   [`Registry`](registry::Registry), and does deferred work after it has released all locks.
//!   Its task forgets runs after `retain_for`.
//! - The registry has the limits of a new run, and decides what is kept. [`Process::make_room`] evicts
//!   runs that have ended, and copies of other processes' events. A running run is never evicted.
//! - [`Process::claim`] decides whether a request starts a run, and [`Producer`] is the right to
//!   record it.
//! - [`Hooks`] are called for changes that other processes must know. Without a store, there are no
//!   hooks.

#[allow(clippy::module_inception)]
mod process;
mod registry;

pub(crate) use self::process::PANICKED;
pub use self::process::{Claim, Hooks, Process, Producer, Purpose};
