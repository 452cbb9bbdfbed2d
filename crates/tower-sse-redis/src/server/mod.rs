//! A server, a primary with replicas, or a cluster, and the connections to the primary.
//!
//! - `Servers` opens all connections to the primary, with the program's credentials.
//!   `find_primaries` asks Sentinels which server is the primary.
//! - `Route` chooses the server to connect to. In a cluster, this is the node that has the keys.
//! - `ServerInfo` and `Lineage` hold what a server reports about itself. The lineage shows whether
//!   an older state may have replaced a key.
//! - `tls` sets the certificates for connections to Redis: the authorities' and the program's own.
//! - In tests, `simulation` connects to a model of Redis.

use std::time::Duration;

mod error;
pub(crate) mod route;
mod sentinel;
pub(crate) mod server_info;
pub(crate) mod servers;
#[cfg(any(test, tower_sse_simulation))]
mod simulation;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use self::error::failed;
#[cfg(any(test, tower_sse_simulation))]
pub use self::simulation::set_dialer;
#[cfg(feature = "tls")]
pub(crate) use self::tls::{is_tls, set_up};

#[cfg(any(test, tower_sse_simulation))]
pub(crate) use self::simulation::MultiplexedConnection;
#[cfg(not(any(test, tower_sse_simulation)))]
pub(crate) use redis::aio::MultiplexedConnection;

/// The default time limit for connecting, which includes authentication and choosing the database,
/// and for a reply. A blocking read waits for less time than this.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns `duration` in whole milliseconds, at most `u64::MAX`.
pub(crate) fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
