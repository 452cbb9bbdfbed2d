use std::{io, pin::pin, sync::Mutex, time::Duration};

use redis::{Cmd, RedisError, Value};
use tokio::time::{Instant, timeout_at};
use tower_sse::hub::broker::support::lock;

use crate::server::connection::MultiplexedConnection;

/// The time without any reply after which the connection is broken.
const STALL: Duration = Duration::from_secs(10);

/// A connection for loads, whose replies are large.
///
/// A reply has no time limit of its own, because it waits behind others on a slow link. Giving a
/// reply up would not help: it would still occupy the link.
pub(super) struct Loads {
    connection: MultiplexedConnection,
    /// The time of the newest reply.
    replied: Mutex<Instant>,
}

impl Loads {
    pub(super) fn new(mut connection: MultiplexedConnection) -> Self {
        connection.set_response_timeout(Duration::MAX);
        Self { connection, replied: Mutex::new(Instant::now()) }
    }

    /// Sends a command. Fails if the connection breaks.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, RedisError> {
        let mut connection = self.connection.clone();
        let mut reply = pin!(connection.send_packed_command(command));
        let mut since = Instant::now();
        loop {
            if let Ok(reply) = timeout_at(since + STALL, &mut reply).await {
                *lock(&self.replied) = Instant::now();
                return reply;
            }
            let replied = *lock(&self.replied);
            if replied <= since {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            since = replied;
        }
    }
}
