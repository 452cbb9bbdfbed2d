//! What connections to Redis have in common.

use std::time::Duration;

#[cfg(tower_sse_simulation)]
pub(crate) use super::simulation::MultiplexedConnection;
#[cfg(not(tower_sse_simulation))]
pub(crate) use redis::aio::MultiplexedConnection;

/// The default time limit for connecting, including authentication and the choice of the database,
/// and for a reply. It is longer than Redis waits for an entry.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
