//! Where the acknowledgement of an event is awaited.

use redis::{Cmd, RedisError, Value};
use tower_sse::{
    BoxError,
    hub::{
        PublishError,
        broker::{
            Acknowledged,
            support::{InFlight, Unproven},
        },
    },
};

use super::{Session, publisher::RedisPublisher};
use crate::{
    Error,
    broker::stream::{AddEvent, Identity, RedisStream, StreamId},
};

impl RedisPublisher {
    /// Publishes an event and waits for its acknowledgement, without a deadline. `is_sent` is `true`
    /// while an answer is awaited.
    pub(super) async fn acknowledged(
        &self,
        event: &AddEvent,
        is_sent: &mut bool,
    ) -> Result<Acknowledged, PublishError> {
        loop {
            let session = self.gate.session().await;
            let mut session = session.ok_or_else(|| PublishError::Refused(self.not_connected()))?;
            let in_flight = self.gate.begin(&session);
            *is_sent = true;
            // Await the reply even if the session ends meanwhile: Redis may have refused the event.
            let added = self.send(&mut session, &event.command).await;
            *is_sent = false;
            match added? {
                Some(id) => {
                    let entry = Identity { id, fingerprint: event.fingerprint };
                    return self.acknowledge(&in_flight, &session, entry);
                }
                None => self.create_stream(&mut session).await?,
            }
        }
    }

    /// Sends a command that adds an entry, and awaits the reply.
    async fn send(
        &self,
        session: &mut Session,
        command: &Cmd,
    ) -> Result<Option<StreamId>, PublishError> {
        let reply = session.connection.connection.send_packed_command(command).await;
        match reply.and_then(Value::extract_error) {
            // If the id is out of range, no process can read the event.
            Ok(reply) => session.connection.parse_added(reply).map_err(refused),
            Err(error) => Err(failed(session, error)),
        }
    }

    fn acknowledge(
        &self,
        in_flight: &InFlight<'_, RedisStream>,
        session: &Session,
        event: Identity,
    ) -> Result<Acknowledged, PublishError> {
        let acknowledged = self.gate.ledger().acknowledge(in_flight.sent, event.of_sequence());
        match acknowledged {
            Ok(()) => Ok(Acknowledged::new(event.id.sequence(), event.id.time())),
            Err(unproven) => {
                if unproven == Unproven::RolledBack {
                    session.ended.cancel();
                }
                Err(PublishError::Unknown(unproven.reason().into()))
            }
        }
    }

    /// Creates the stream again with a marker, so that every process reports the loss.
    async fn create_stream(&self, session: &mut Session) -> Result<(), PublishError> {
        let known = StreamId::of_sequence(self.gate.ledger().newest_known);
        session.connection.mark(None, known).await.map(drop).map_err(refused)
    }
}

/// Returns the error of a command without a reply, or with an error as its reply.
fn failed(session: &Session, error: RedisError) -> PublishError {
    // The server rejected the command, or the client did not send it.
    let is_refused = error.code().is_some() || matches!(error.kind(), redis::ErrorKind::Client);
    // The server may no longer be the primary, so reconnect.
    let is_read_only = error.code() == Some("READONLY");
    if !is_refused || is_read_only || error.redirect_node().is_some() {
        session.ended.cancel();
    }
    let error = session.connection.error("publish an event to Redis", error);
    if is_refused { refused(error) } else { PublishError::Unknown(BoxError::from(error)) }
}

fn refused(error: Error) -> PublishError {
    PublishError::Refused(error.into())
}
