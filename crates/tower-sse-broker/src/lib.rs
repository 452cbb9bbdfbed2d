//! What [`tower_sse`]'s hubs over [Redis], [PostgreSQL] and [SQLite] share, and a kit that tests any
//! broker.
//!
//! If you use one of the three stores, you don't need to add this crate: the store's crate
//! re-exports [`Error`], [`ErrorKind`], [`Health`], [`BrokerStats`] and [`LogStats`] from here. They
//! are the same types for all stores. A program with two stores needs one `match`:
//!
//! ```
//! # use tower_sse_broker as tower_sse_redis;
//! use tower_sse_redis::{Error, ErrorKind};
//!
//! /// Returns whether the same call may succeed later.
//! fn is_temporary(error: &Error) -> bool {
//!     match error.kind() {
//!         ErrorKind::Unreachable | ErrorKind::Loading | ErrorKind::Locked => true,
//!         _ => false,
//!     }
//! }
//! # assert!(is_temporary(&Error::new("connect", ErrorKind::Loading, "LOADING")));
//! ```
//!
//! If your processes share a server for which there's no broker, write one: implement
//! [`Broker`](tower_sse::hub::broker::Broker), and test it with the [test kit] (feature `testing`).
//! Your broker can return the types above too.
//!
//! [PostgreSQL]: https://docs.rs/tower-sse-postgres
//! [Redis]: https://docs.rs/tower-sse-redis
//! [SQLite]: https://docs.rs/tower-sse-sqlite
//! [test kit]: https://docs.rs/tower-sse-broker/latest/tower_sse_broker/testing/

#![warn(clippy::unused_async)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_imports, unused_variables))))]

mod credentials;
mod error;
mod follower;
mod gate;
mod health;
mod ledger;
mod log;
mod options;
mod pace;
mod queue;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;

pub use crate::credentials::{Credentials, Tls};
pub use crate::error::{Error, ErrorKind};
pub use crate::health::Health;
pub use crate::stats::{BrokerStats, LogStats, Waiting};
#[doc(hidden)]
pub use tower_sse::{debug, hub::__private as tasks, warn};

pub mod __private {
    #![doc(hidden)]
    //! What the stores' crates use. Any of it can change in any release.
    #![doc = include_str!("../docs/following.md")]
    //! # An example
    //!
    //! This broker's log is an in-memory list, which stands in for a server. It passes the kit.
    //!
    //! ```
    #![doc = include_str!("../docs/list_broker.rs")]
    //! # #[tokio::main]
    //! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    //! # let broker = ListBroker { name: "news".to_owned(), server: Server::default() };
    //! # let hub = tower_sse::hub::Hub::connect(broker).await?;
    //! # hub.publish("news", "hello").await?;
    //! # Ok(())
    //! # }
    //! ```

    pub use crate::credentials::CredentialsProvider;
    pub use crate::follower::{follow, start};
    pub use crate::gate::{Gate, InFlight, Session};
    pub use crate::log::{Content, Identity, Known, Log, LogEntry, Page, event_of};
    pub use crate::queue::{Queue, Queued, SendBatch};
    pub use crate::{options::LogOptions, pace::Backoff, stats::Facts};
}
