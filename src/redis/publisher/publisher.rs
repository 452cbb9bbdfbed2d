use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::gate::Gate;
use crate::{
    BoxError,
    event::{Event, whole_milliseconds},
    hub::{Acknowledged, PublishError, Publisher, Publishing},
    redis::{
        Error, ErrorKind,
        health::RedisHealth,
        stream::{Clock, Publication, StreamId},
    },
};

/// The maximum lead of a client's id over the server's clock or the newest committed id, whichever
/// is later. Redis continues from the newest id if its clock is set back.
const MAX_LEAD: Duration = Duration::from_secs(60);

/// Publishes the events of a hub as entries of its stream.
pub(crate) struct RedisPublisher {
    pub(crate) key: String,
    pub(crate) max_len: usize,
    pub(crate) deadline: Duration,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) health: RedisHealth,
}

impl Publisher for Arc<RedisPublisher> {
    fn publish(&self, topic: &str, event: &Event, is_last: bool) -> Publishing {
        let publisher = Self::clone(self);
        let publication = Publication::new(&self.key, self.max_len, topic, event, is_last);
        Box::pin(async move { publisher.acknowledge_in_time(&publication).await })
    }

    fn newest_possible(&self, committed: u64) -> u64 {
        let lead = whole_milliseconds(MAX_LEAD);
        let now = StreamId::at(self.clock.now().saturating_add(lead)).sequence();
        now.max(committed.saturating_add(StreamId::at(lead).sequence()))
    }
}

impl RedisPublisher {
    /// Publishes an event and waits for its acknowledgement, until the deadline.
    async fn acknowledge_in_time(&self, event: &Publication) -> Result<Acknowledged, PublishError> {
        let mut is_sent = false;
        let measured = self.health.begin_publish();
        let result = match timeout(self.deadline, self.acknowledged(event, &mut is_sent)).await {
            Ok(result) => result,
            Err(_) if is_sent => Err(PublishError::Unknown("no reply before the deadline".into())),
            Err(_) => Err(PublishError::Refused(self.not_connected())),
        };
        measured.end(&result);
        result
    }

    pub(super) fn not_connected(&self) -> BoxError {
        let (kind, reason) = match self.health.last_failure() {
            Some((kind, error)) if !self.health.is_following() => {
                (kind, format!("the Redis stream is unavailable: {error}"))
            }
            _ => (ErrorKind::Unreachable, "no connection to Redis".to_owned()),
        };
        Error::unavailable(kind, reason).into()
    }
}
