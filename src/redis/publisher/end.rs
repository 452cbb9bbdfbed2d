use std::time::Duration;

use ::redis::Value;
use tokio::time::{sleep, timeout};

use super::publisher::PublisherInner;
use crate::{
    hub::{Acknowledged, PublishError},
    redis::{
        Error,
        stream::{Ending, Identity, LastEvent, NOTICE, StreamId, announcement},
    },
};

impl PublisherInner {
    /// Publishes the last event of a topic, after an announcement.
    pub(super) async fn end(&self, last: &LastEvent) -> Result<Acknowledged, PublishError> {
        let mut is_sent = false;
        let deadline = self.deadline.saturating_add(Duration::from_millis(NOTICE));
        let measured = self.health.begin_publish();
        let published = timeout(deadline, self.try_end(last, &mut is_sent)).await;
        let result = self.in_time(published, is_sent);
        measured.end(&result);
        result
    }

    /// Publishes the last event without a deadline. `is_sent` is `true` while an answer is awaited.
    async fn try_end(
        &self,
        last: &LastEvent,
        is_sent: &mut bool,
    ) -> Result<Acknowledged, PublishError> {
        loop {
            let announced = self.announce().await?;
            let mut session = self.session().await?;
            let in_flight = self.gate.begin(&session);
            let command = last.command(&self.key, self.max_len, announced);
            *is_sent = true;
            let reply = session.stream.connection.send_packed_command(&command).await;
            let reply = reply.and_then(Value::extract_error);
            *is_sent = false;
            let reply = reply.map_err(|error| self.failed(&session, error))?;
            let ending = session.stream.parse_ending(reply);
            match ending.map_err(refused)? {
                Ending::Added(id) => {
                    let event = Identity { id, fingerprint: last.fingerprint };
                    return self.acknowledge(&in_flight, &session, event);
                }
                Ending::TooEarly(wait) => {
                    drop(in_flight);
                    sleep(Duration::from_millis(wait)).await;
                }
                Ending::NotAnnounced => {
                    self.gate.acknowledgements().announcements.forget(announced);
                }
            }
        }
    }

    /// Returns an announcement after which the topic can probably end. Adds one if there is none.
    async fn announce(&self) -> Result<StreamId, PublishError> {
        let usable = || self.gate.acknowledgements().announcements.usable();
        if let Some(announced) = usable() {
            return Ok(announced);
        }
        let _announcing = self.announcing.lock().await;
        loop {
            if let Some(announced) = usable() {
                return Ok(announced);
            }
            let mut session = self.session().await?;
            let command = announcement(&self.key, self.max_len);
            let reply = session.stream.connection.send_packed_command(&command).await;
            match self.read_reply(&session, reply.and_then(Value::extract_error)) {
                Ok(Some(id)) => self.gate.acknowledgements().announcements.add(id),
                Ok(None) => self.create_stream(&mut session).await?,
                // The event itself was not sent.
                Err(PublishError::Unknown(error)) => return Err(PublishError::Refused(error)),
                Err(error) => return Err(error),
            }
        }
    }
}

fn refused(error: Error) -> PublishError {
    PublishError::Refused(error.into())
}
