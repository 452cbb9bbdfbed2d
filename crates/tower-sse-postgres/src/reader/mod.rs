//! Reading the log into the hub, and finding every loss.
//!
//! | | |
//! |---|---|
//! | `follower.rs` | the task that follows the log, and reconnects when a connection breaks |
//! | `reader.rs` | reads the log from the last row that was read, which must still exist |
//! | `rows.rs` | feeds rows to the hub, and finds the holes between them |
//! | `upkeep.rs` | trims the log and surveys the tables |

mod follower;
#[allow(clippy::module_inception)]
mod reader;
mod rows;
mod upkeep;

pub(crate) use self::{follower::Follower, reader::Reader, upkeep::Upkeep};
