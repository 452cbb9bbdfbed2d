//! Brokers, which connect the hubs of several processes.
//!
//! - [`tower-sse-redis`](https://docs.rs/tower-sse-redis): Redis Streams, for Redis 7 or Valkey
//! - [`tower-sse-postgres`](https://docs.rs/tower-sse-postgres): PostgreSQL, where programs publish
//!   in their own transactions
//! - [`MemoryBroker`](crate::testing::MemoryBroker) (feature `testing`): hubs of one process, for
//!   tests
//!
//! To bring your own, implement [`Broker`] and [`Publisher`]. The page of `Broker` says what they must
//! do.
//!
//! If your broker is a log on a server, such as a table,
//! [`tower-sse-broker`](https://docs.rs/tower-sse-broker) does most of it: it loads the history,
//! reconnects, publishes in batches, and finds every loss. Its page has a broker over a file of SQLite.

// | `broker.rs` | what a broker does |
// | `feed.rs`, `closed.rs` | the way from the broker to the hub |
// | `tests.rs` | the tests of `feed.rs` |
// The way back is in `hub/link/`.

#[allow(clippy::module_inception)]
mod broker;
mod closed;
mod feed;
/// Functions that the crates of brokers need too. Exempt from semantic versioning.
#[doc(hidden)]
pub mod support {
    pub use crate::{callback::caught, event::whole_milliseconds, lock::lock};
}
#[cfg(test)]
mod tests;

pub use self::{broker::Broker, closed::Closed, feed::Feed};
pub use crate::{
    event::Fields,
    hub::link::{Acknowledged, Arrival, Publication, Publisher},
};
