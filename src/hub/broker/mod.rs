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
//! # An example
//!
//! A log in a file on one host: each process appends lines to it, and reads those of all. It uses
//! `serde_json`.
//!
//! ```
#![doc = include_str!("../../../docs/file_broker.rs")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let file = std::env::temp_dir().join(format!("tower-sse-{}.log", std::process::id()));
//! # let hub = tower_sse::hub::Hub::connect(FileBroker(file.clone())).await?;
//! # hub.publish("news", "hello").await?;
//! # std::fs::remove_file(file)?;
//! # Ok(())
//! # }
//! ```

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
