//! Two or three processes that share a store in memory, under a paused clock.

mod ahead;
mod away;
mod claims;
mod ends;
mod faults;
mod layer;
mod live;
mod memory;
mod owner_dies;
mod rig;
mod round_trips;
mod stops;
mod watched;
