//! The side of a process that does not own a run: a [`Mirror`](mirror::Mirror) copies the run while
//! a client reads it at this process.
//!
//! - [`Mirrors`](mirrors::Mirrors) has what all mirrors need, and [`MirrorMap`](mirrors::MirrorMap)
//!   finds them by run. `Mirrors` opens a mirror for a client, passes pushes to mirrors, and waits
//!   for events that a client has seen, but that this process does not have yet.
//! - `load.rs` brings a mirror up to date from the store.
//! - `check.rs` asks the store whether an owner is alive, and ends the owner's runs if it is dead.
//!   [`supervise`](check::supervise) does so at an interval.
//! - `dead.rs` does the same for a silent process's runs that no client reads here, and reports
//!   each end.

pub(super) mod check;
pub(super) mod dead;
mod load;
pub(crate) mod mirror;
pub(crate) mod mirrors;
