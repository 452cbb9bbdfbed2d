//! The side of a process that does not own a run: a [`Mirror`](mirror::Mirror) copies the run while
//! a client reads it at this process.
//!
//! - [`Mirrors`](mirrors::Mirrors) has what all mirrors need, and [`MirrorMap`](mirror_map::MirrorMap)
//!   finds them by run. `open.rs` opens a mirror for a client, and passes pushes to mirrors.
//! - A [`Load`](load::Load) brings a mirror up to date.
//! - `check.rs` asks the store whether an owner is alive, and ends the owner's runs if it is dead.
//!   [`owner_checks`] does so at an interval.
//! - `ahead.rs` waits for events that a client has seen, but that this process does not have yet.

mod ahead;
mod check;
mod load;
pub(crate) mod mirror;
pub(crate) mod mirror_map;
pub(crate) mod mirrors;
mod open;
pub(crate) mod owner_checks;
