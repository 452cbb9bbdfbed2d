use std::convert::Infallible;

use tokio::time::{Instant, sleep};
use tower_sse_broker::Backoff;

use crate::{Error, RedisHealth};

/// The connections of runs to one server, which are replaced together.
pub(crate) trait Sessions {
    type Session;

    /// Waits until a connection of the session breaks, ends the session, and returns the error.
    async fn broken(&mut self, session: &mut Self::Session) -> Error;

    /// Opens the next session.
    async fn open(&mut self) -> Result<Self::Session, Error>;
}

/// Keeps a session until this future is dropped.
pub(crate) async fn keep<S: Sessions>(
    sessions: &mut S,
    mut session: S::Session,
    health: &RedisHealth,
    mut backoff: Backoff,
) -> Infallible {
    loop {
        let opened = Instant::now();
        let error = sessions.broken(&mut session).await;
        warn!(error = %tower_sse_broker::with_sources(&error), "connection to Redis lost");
        health.common.set_error(error);
        backoff.end_session(opened.elapsed());
        session = loop {
            sleep(backoff.next_delay()).await;
            match sessions.open().await {
                Ok(session) => break session,
                Err(error) => {
                    debug!(error = %tower_sse_broker::with_sources(&error), "failed to reconnect to Redis");
                    health.common.set_error(error);
                }
            }
        };
        health.common.count_reconnection();
    }
}
