use std::{sync::Arc, time::Duration};

use redis::{RedisError, Value};
use tokio::select;
use tokio::time::{sleep, timeout};
use tower_sse::hub::broker::{Acknowledged, Publication, Publisher};
use tower_sse::{BoxError, hub::PublishError};
use tower_sse_broker::__private::{Gate, Identity, InFlight, Session};
use tower_sse_broker::tasks::catching_wakes;

use super::entry::{AddEvent, MAX_CLIENT_LEAD, STEP, StreamId};
use super::redis_stream::{Clock, RedisStream};
use crate::{Error, Health};

/// The number of steps that this process may not know of, for example because its link is slow.
const UNKNOWN_STEPS: u64 = 4;

/// Publishes the events of a hub as entries of its stream.
pub struct RedisPublisher {
    pub(crate) key: String,
    pub(crate) max_events: u64,
    pub(crate) deadline: Duration,
    /// The time limit for a reply to the reader.
    pub(crate) timeout: Duration,
    pub(crate) gate: Arc<Gate<RedisStream>>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) health: Health,
}

impl Publisher for RedisPublisher {
    async fn publish(&self, publication: Publication) -> Result<Acknowledged, PublishError> {
        let Publication { topic, event, ends_topic, .. } = publication;
        let added = AddEvent::new(&self.key, self.max_events, &topic, &event, ends_topic);
        let added = added.map_err(|error| PublishError::TooLarge(error.into()))?;
        drop((topic, event));
        let mut is_sent = false;
        match timeout(self.deadline, self.acknowledged(&added, &mut is_sent)).await {
            Ok(result) => result,
            Err(_) if is_sent => Err(PublishError::Unknown("no reply before the deadline".into())),
            Err(_) => Err(refused(self.health.not_sent("publish an event to Redis"))),
        }
    }

    /// After Redis' clock is set back, ids stay ahead of it, because they continue from the newest
    /// one. A higher limit than a few steps would accept a client's id from before a restore. The
    /// client would then receive nothing until the ids have reached its own.
    fn newest_possible(&self, committed: u64) -> u64 {
        let now = StreamId::at(self.clock.now().saturating_add(MAX_CLIENT_LEAD)).sequence();
        now.max(committed.saturating_add(StreamId::at(UNKNOWN_STEPS * STEP).sequence()))
    }
}

impl RedisPublisher {
    /// Publishes an event and awaits its acknowledgement, without a deadline. `is_sent` is `true`
    /// while the event has been sent but not answered.
    async fn acknowledged(
        &self,
        event: &AddEvent,
        is_sent: &mut bool,
    ) -> Result<Acknowledged, PublishError> {
        loop {
            let session = select! {
                biased;
                session = self.gate.session() => session,
                () = self.gate.retired() => return Err(PublishError::Closed),
            };
            let mut in_flight = self.gate.begin(session);
            let ended = in_flight.session.ended.clone();
            let over = async || {
                select! {
                    () = catching_wakes(ended.cancelled()) => {}
                    () = self.gate.retired() => {}
                }
            };
            let stream = &mut in_flight.session.connection;
            *is_sent = true;
            // Await the reply for a while even if the session ends or the hub is closed: Redis may
            // have refused the event.
            let given_up = async {
                over().await;
                sleep(self.timeout).await;
            };
            let reply = select! {
                biased;
                reply = stream.connection.send_packed_command(&event.command) => reply,
                () = given_up => return Err(PublishError::Unknown("connection lost".into())),
            };
            *is_sent = false;
            let added = match reply.and_then(Value::extract_error) {
                // An id out of range is an error: no process can read the event.
                Ok(reply) => stream.parse_added(reply).map_err(refused)?,
                // The stream is on another node or moving there: the event was not published.
                Err(error) if error.redirect_node().is_some() => {
                    in_flight.session.end();
                    continue;
                }
                Err(error) => return Err(failure(&in_flight.session, error)),
            };
            if let Some(id) = added {
                let entry = Identity { number: id.sequence(), fingerprint: event.fingerprint };
                return in_flight.acknowledge(entry, id.time());
            }
            mark(&mut in_flight, over()).await.map_err(refused)?;
        }
    }
}

/// Returns the error for a command that got no reply or an error reply. Ends the session if the
/// command was sent but not answered, or if Redis is read-only.
fn failure(session: &Session<RedisStream>, error: RedisError) -> PublishError {
    // `true` if the server rejected the command or the client did not send it.
    let is_refused = error.code().is_some() || matches!(error.kind(), redis::ErrorKind::Client);
    // A server with this error may no longer be the primary: reconnect.
    let is_read_only = error.code() == Some("READONLY");
    if !is_refused || is_read_only {
        session.end();
    }
    let error = session.connection.error("publish an event to Redis", error);
    if is_refused { refused(error) } else { PublishError::Unknown(BoxError::from(error)) }
}

/// Re-creates the lost stream with a marker, so that every process reports the loss. Ends the session
/// if there is no reply or the stream is on another node: the unpublished event can then wait for
/// the next session, as it can once the session is `over`.
async fn mark(
    in_flight: &mut InFlight<'_, RedisStream>,
    over: impl Future<Output = ()>,
) -> Result<(), Error> {
    let known = StreamId::of_sequence(in_flight.newest_known());
    let marked = select! {
        biased;
        marked = in_flight.session.connection.mark(None, known) => marked,
        () = over => return Ok(()),
    };
    let is_lost = |error: &RedisError| error.code().is_none() || error.redirect_node().is_some();
    match marked {
        Err(error) if error.cause().is_some_and(is_lost) => in_flight.session.end(),
        marked => _ = marked?,
    }
    Ok(())
}

fn refused(error: Error) -> PublishError {
    PublishError::Refused(error.into())
}

tower_sse::opaque_debug!(RedisPublisher);
