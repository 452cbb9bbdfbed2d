//! What connects a hub to other processes, which share its events. The hub's side is
//! [`link`](super::link).
//!
//! | | |
//! |---|---|
//! | `broker.rs` | what a broker does: it connects, and feeds the hub |
//! | `feed.rs` | the way from the broker to the hub |
//! | `tests.rs` | the tests of `feed.rs` |

#[allow(clippy::module_inception)]
mod broker;
mod feed;
#[cfg(test)]
mod tests;

pub use self::broker::Broker;
pub(crate) use self::feed::Feed;
