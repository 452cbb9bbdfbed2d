//! What connections to Redis have in common.

use std::time::Duration;

#[cfg(not(tower_sse_simulation))]
pub(super) use ::redis::aio::MultiplexedConnection;

#[cfg(tower_sse_simulation)]
pub(super) use super::simulation::MultiplexedConnection;

/// The default time limit for connecting, including authentication and the choice of the database,
/// and for a reply. It is longer than Redis waits for an entry.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
