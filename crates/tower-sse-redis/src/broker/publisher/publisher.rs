use std::{fmt, sync::Arc, time::Duration};

use tokio::time::timeout;
use tower_sse::{
    BoxError,
    hub::{
        PublishError,
        broker::{Acknowledged, Publication, Publisher, support::whole_milliseconds},
    },
};

use super::Gate;
use crate::{
    Error, ErrorKind,
    broker::stream::{AddEvent, Clock, StreamId},
    server::health::RedisHealth,
};

/// The maximum lead of a client's id over the server's clock or the newest committed id, whichever
/// is later. Redis continues from the newest id if its clock is set back.
const MAX_LEAD: Duration = Duration::from_secs(60);

/// Publishes the events of a hub as entries of its stream.
pub struct RedisPublisher {
    pub(crate) key: String,
    pub(crate) max_len: usize,
    pub(crate) deadline: Duration,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) health: RedisHealth,
}

impl Publisher for RedisPublisher {
    async fn publish(&self, publication: Publication) -> Result<Acknowledged, PublishError> {
        let Publication { topic, event, ends_topic, .. } = publication;
        let added = AddEvent::new(&self.key, self.max_len, &topic, &event, ends_topic);
        let added = added.map_err(|error| PublishError::Refused(error.into()))?;
        drop((topic, event));
        self.acknowledge_in_time(&added).await
    }

    fn newest_possible(&self, committed: u64) -> u64 {
        let lead = whole_milliseconds(MAX_LEAD);
        let now = StreamId::at(self.clock.now().saturating_add(lead)).sequence();
        now.max(committed.saturating_add(StreamId::at(lead).sequence()))
    }
}

impl RedisPublisher {
    /// Publishes an event and waits for its acknowledgement, until the deadline.
    async fn acknowledge_in_time(&self, event: &AddEvent) -> Result<Acknowledged, PublishError> {
        let mut is_sent = false;
        match timeout(self.deadline, self.acknowledged(event, &mut is_sent)).await {
            Ok(result) => result,
            Err(_) if is_sent => Err(PublishError::Unknown("no reply before the deadline".into())),
            Err(_) => Err(PublishError::Refused(self.not_connected())),
        }
    }

    pub(super) fn not_connected(&self) -> BoxError {
        let (kind, reason) = match self.health.last_failure() {
            Some((kind, error)) if !self.health.is_ready() => {
                (kind, format!("the Redis stream is unavailable: {error}"))
            }
            _ => (ErrorKind::Unreachable, "no connection to Redis".to_owned()),
        };
        Error::unavailable(kind, reason).into()
    }
}

impl fmt::Debug for RedisPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPublisher").field("key", &self.key).finish_non_exhaustive()
    }
}
