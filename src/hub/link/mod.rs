//! A hub's side of the connection to its broker.
//!
//! | | |
//! |---|---|
//! | `publisher.rs` | what a broker returns: the way from the hub to the broker |
//! | `arrival.rs` | what a broker knows of an event |
//! | `link.rs` | the connection |
//! | `losses.rs` | the losses that the broker has reported |

mod arrival;
#[allow(clippy::module_inception)]
mod link;
mod losses;
mod publisher;

pub use self::{
    arrival::Arrival,
    publisher::{Acknowledged, Publication, Publisher},
};
pub(super) use self::{link::Link, losses::Losses};
