//! The connection of a hub to its broker, through which other processes share its events.
//!
//! | | |
//! |---|---|
//! | `broker.rs` | what a broker does: it connects, and feeds the hub |
//! | `publisher.rs` | what a broker returns: the way from the hub to the broker |
//! | `feed.rs` | the way from the broker to the hub |
//! | `link.rs` | the hub's side of the connection |
//! | `losses.rs` | the losses that the broker has reported |
//! | `tests.rs` | the tests of `feed.rs` |

#[allow(clippy::module_inception)]
mod broker;
mod feed;
mod link;
mod losses;
mod publisher;
#[cfg(test)]
mod tests;

pub use self::broker::Broker;
pub(crate) use self::{
    feed::{Arrival, Feed},
    publisher::{Acknowledged, Publisher, Publishing},
};
pub(super) use self::{link::Link, losses::Losses};
