use std::convert::Infallible;

use tokio::time::{Instant, sleep};
use tower_sse::hub::broker::support::Backoff;

use super::health::display_with_sources;
use crate::{Error, RedisHealth};

/// The connections of a hub or of runs to one server, which are replaced together.
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
        health.set_error(&error);
        warn!(error = %display_with_sources(&error), "connection to Redis lost");
        backoff.end_session(opened.elapsed());
        session = loop {
            sleep(backoff.next_delay()).await;
            match sessions.open().await {
                Ok(session) => break session,
                Err(error) => {
                    health.set_error(&error);
                    debug!(error = %display_with_sources(&error), "failed to reconnect to Redis");
                }
            }
        };
        health.count_reconnection();
    }
}
