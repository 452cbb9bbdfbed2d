//! A server, or a primary with replicas, and the connections to it.
//!
//! - `Servers` opens all connections to the primary, with the credentials of `Provider`, and
//!   `keep` replaces those that break.
//! - [`RedisHealth`] shows their state to the program, and [`Error`] says why one fails.
//! - `ServerInfo` and `Lineage` are what a server reports about itself: the lineage shows whether
//!   an older state can have replaced a key.

use std::time::Duration;

pub(crate) mod credentials;
mod error;
pub(crate) mod health;
pub(crate) mod server_info;
pub(crate) mod servers;
#[cfg(tower_sse_simulation)]
mod simulation;
#[cfg(feature = "tls")]
mod tls;

pub use self::error::{Error, ErrorKind};
#[cfg(tower_sse_simulation)]
pub use self::simulation::{Dialing, Transport, set_dialer};
#[cfg(feature = "tls")]
pub use self::tls::Tls;
pub use self::{credentials::Credentials, health::RedisHealth};

#[cfg(tower_sse_simulation)]
pub(crate) use self::simulation::MultiplexedConnection;
#[cfg(not(tower_sse_simulation))]
pub(crate) use redis::aio::MultiplexedConnection;

/// The default time limit for connecting, including authentication and the choice of the database,
/// and for a reply. It is longer than Redis waits for an entry.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
