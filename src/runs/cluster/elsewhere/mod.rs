//! The side of all other processes: a [`Mirror`](mirror::Mirror) copies a run while a client reads it
//! there.
//!
//! - [`Mirrors`](mirrors::Mirrors) has what all mirrors need, and [`MirrorMap`](mirror_map::MirrorMap)
//!   finds them by run. `open.rs` opens a mirror for a client, and passes pushes to mirrors.
//! - A [`Load`](load::Load) brings a mirror up to date.
//! - `check.rs` asks the store whether an owner lives, and ends its runs if it does not.
//!   [`owner_checks`] does so at an interval.
//! - `ahead.rs` waits for events that a client has seen and this process has not.

mod ahead;
mod check;
mod load;
pub(crate) mod mirror;
pub(crate) mod mirror_map;
pub(crate) mod mirrors;
mod open;
pub(crate) mod owner_checks;
