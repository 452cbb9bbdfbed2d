use std::{sync::Arc, time::Duration};

use ::redis::{RedisError, Value};
use tokio::time::{error::Elapsed, timeout};

use super::{
    acknowledgements::Unproven,
    gate::{Gate, InFlight, Session},
};
use crate::{
    BoxError,
    event::Event,
    hub::{Acknowledged, PublishError, Publisher, Publishing},
    redis::{
        Error, ErrorKind,
        health::RedisHealth,
        stream::{Clock, Identity, LastEvent, MarkIf, Publication, StreamId, publication},
    },
};

/// The maximum lead of a client's id over the server's clock. After the clock is set back, Redis
/// continues from the newest id, so ids are ahead of the clock.
const MAX_LEAD: Duration = Duration::from_secs(60);

/// Publishes the events of a hub as entries of its stream.
#[derive(Clone)]
pub(crate) struct RedisPublisher {
    pub(crate) inner: Arc<PublisherInner>,
}

/// The state that all clones of a [`RedisPublisher`] share.
pub(crate) struct PublisherInner {
    pub(crate) key: String,
    pub(crate) max_len: usize,
    pub(crate) deadline: Duration,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) health: RedisHealth,
    /// Held while an announcement is added, so that concurrent ends share it.
    pub(crate) announcing: tokio::sync::Mutex<()>,
}

impl Publisher for RedisPublisher {
    fn publish(&self, topic: &str, event: &Event, is_last: bool) -> Publishing {
        let inner = Arc::clone(&self.inner);
        if is_last {
            let last = LastEvent::new(topic, event);
            return Box::pin(async move { inner.end(&last).await });
        }
        let publication = publication(&inner.key, inner.max_len, topic, event);
        Box::pin(async move { inner.publish(&publication).await })
    }

    fn newest_possible(&self, committed: u64) -> u64 {
        let lead = u64::try_from(MAX_LEAD.as_millis()).unwrap_or(u64::MAX);
        let now = StreamId::at(self.inner.clock.now().saturating_add(lead)).sequence();
        now.max(committed.saturating_add(StreamId::at(lead).sequence()))
    }
}

impl PublisherInner {
    async fn publish(&self, publication: &Publication) -> Result<Acknowledged, PublishError> {
        let mut is_sent = false;
        let measured = self.health.begin_publish();
        let published = timeout(self.deadline, self.try_publish(publication, &mut is_sent)).await;
        let result = self.in_time(published, is_sent);
        measured.end(&result);
        result
    }

    /// Returns the error of an event that was not acknowledged before the deadline. `is_sent` is
    /// `true` if an answer was awaited then.
    pub(super) fn in_time(
        &self,
        published: Result<Result<Acknowledged, PublishError>, Elapsed>,
        is_sent: bool,
    ) -> Result<Acknowledged, PublishError> {
        match published {
            Ok(result) => result,
            Err(_) if is_sent => Err(unknown("no reply before the deadline")),
            Err(_) => Err(PublishError::Refused(self.not_connected())),
        }
    }

    /// Publishes without a deadline. `is_sent` is `true` while an answer is awaited.
    async fn try_publish(
        &self,
        Publication { command, fingerprint }: &Publication,
        is_sent: &mut bool,
    ) -> Result<Acknowledged, PublishError> {
        loop {
            let mut session = self.session().await?;
            let in_flight = self.gate.begin(&session);
            *is_sent = true;
            // Await the reply even if the session ends meanwhile: Redis may have refused the event.
            let reply = session.stream.connection.send_packed_command(command).await;
            let reply = reply.and_then(Value::extract_error);
            *is_sent = false;
            match self.read_reply(&session, reply)? {
                Some(id) => {
                    let event = Identity { id, fingerprint: *fingerprint };
                    return self.acknowledge(&in_flight, &session, event);
                }
                // The stream is missing, so nothing was published.
                None => self.create_stream(&mut session).await?,
            }
        }
    }

    /// Waits until this process can publish.
    pub(super) async fn session(&self) -> Result<Session, PublishError> {
        let session = self.gate.session().await;
        session.ok_or_else(|| PublishError::Refused(self.not_connected()))
    }

    /// Returns the id of the event, or `None` if there is no stream.
    pub(super) fn read_reply(
        &self,
        session: &Session,
        reply: Result<Value, RedisError>,
    ) -> Result<Option<StreamId>, PublishError> {
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => return Err(self.failed(session, error)),
        };
        // If the id is out of range, no process can read the event.
        session.stream.parse_added(reply).map_err(|error| PublishError::Refused(error.into()))
    }

    pub(super) fn failed(&self, session: &Session, error: RedisError) -> PublishError {
        // The server rejected the command, or the client did not send it.
        let is_refused =
            error.code().is_some() || matches!(error.kind(), ::redis::ErrorKind::Client);
        // The server may no longer be the primary, so reconnect.
        if !is_refused || is_read_only(&error) || error.redirect_node().is_some() {
            session.ended.cancel();
        }
        let error = BoxError::from(session.stream.error("publish an event to Redis", error));
        if is_refused { PublishError::Refused(error) } else { PublishError::Unknown(error) }
    }

    /// Creates the stream again with a marker, so that every process reports the loss.
    pub(super) async fn create_stream(&self, session: &mut Session) -> Result<(), PublishError> {
        let known = self.gate.newest_known();
        let refused = |error: Error| PublishError::Refused(error.into());
        session.stream.mark(MarkIf::Empty, known).await.map(drop).map_err(refused)
    }

    pub(super) fn acknowledge(
        &self,
        in_flight: &InFlight<'_>,
        session: &Session,
        event: Identity,
    ) -> Result<Acknowledged, PublishError> {
        match in_flight.acknowledge(event) {
            Ok(may_have_ended) => Ok(Acknowledged {
                sequence: event.id.sequence(),
                at: Duration::from_millis(event.id.milliseconds),
                arrival_deadline: may_have_ended.then_some(self.deadline),
            }),
            Err(unproven) => {
                if unproven == Unproven::RolledBack {
                    session.ended.cancel();
                }
                Err(unknown(unproven.reason()))
            }
        }
    }

    fn not_connected(&self) -> BoxError {
        let (kind, reason) = match self.health.last_failure() {
            Some((kind, error)) if !self.health.is_following() => {
                (kind, format!("the Redis stream is unavailable: {error}"))
            }
            _ => (ErrorKind::Unreachable, "no connection to Redis".to_owned()),
        };
        Error::unavailable(kind, reason).into()
    }
}

fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ::redis::ErrorKind::Server(::redis::ServerErrorKind::ReadOnly)
}

fn unknown(reason: &'static str) -> PublishError {
    PublishError::Unknown(reason.into())
}
