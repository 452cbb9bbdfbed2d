//! The side of a process that does not own a run: a [`Mirror`](mirror::Mirror) copies the run while
//! clients or handles of this process use it.
//!
//! - [`Mirrors`](mirrors::Mirrors) has what all mirrors need, and [`MirrorMap`](mirrors::MirrorMap)
//!   finds them by run. `Mirrors` opens a mirror for a client, passes pushes to mirrors, and waits
//!   for events that a client has seen, but that this process does not have yet.
//! - `load.rs` brings a mirror up to date from the store. [`Turns`](mirrors::Turns) limits how many
//!   pages it loads at the same time.
//! - `check.rs` asks the store about mirrored runs. [`supervise`](check::supervise) does so at an
//!   interval. [`look_after`](check::look_after) ends all runs of a dead process, and reports each
//!   end.

pub(super) mod check;
mod load;
pub(crate) mod mirror;
pub(crate) mod mirrors;
