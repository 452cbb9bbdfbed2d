//! The side of all other processes: a [`Mirror`](mirror::Mirror) copies a run while a client reads it
//! there, and a [`Load`](load::Load) brings it up to date. [`owner_checks`] asks the store whether its
//! owner lives. `ahead.rs` waits for events that a client has seen and this process has not.

mod ahead;
pub(crate) mod load;
pub(crate) mod mirror;
pub(crate) mod mirrors;
pub(crate) mod owner_checks;
