use std::{fmt, sync::Arc, time::Duration};

use tokio::time::timeout;
use tower_sse::{
    BoxError,
    hub::{
        PublishError,
        broker::{Acknowledged, Publication, Publisher},
    },
};

use super::{Queue, entry::Entry};
use crate::{Error, connection::Settings};

/// The maximum lead of a client's id over the server's clock or the newest committed id, whichever
/// is later.
const MAX_LEAD: Duration = Duration::from_secs(60);

/// Publishes the events of a hub as rows of its log.
pub struct PostgresPublisher {
    queue: Arc<Queue>,
    deadline: Duration,
    settings: Arc<Settings>,
}

impl PostgresPublisher {
    pub(crate) fn new(queue: Arc<Queue>, deadline: Duration, settings: Arc<Settings>) -> Self {
        Self { queue, deadline, settings }
    }
}

impl Publisher for PostgresPublisher {
    async fn publish(&self, publication: Publication) -> Result<Acknowledged, PublishError> {
        let invalid = |reason: BoxError| Error::new("store the event in PostgreSQL", reason);
        let (entry, outcome) = Entry::new(publication)
            .map_err(|reason| PublishError::Refused(invalid(reason).into()))?;
        let place = self.queue.add(entry);
        match timeout(self.deadline, outcome).await {
            Ok(Ok(outcome)) => outcome,
            _ if place.leave() => {
                Err(PublishError::Refused(self.settings.health.not_connected().into()))
            }
            Ok(Err(_)) => Err(PublishError::Unknown("the hub closed before the response".into())),
            Err(_) => Err(PublishError::Unknown("no response before the deadline".into())),
        }
    }

    fn newest_possible(&self, committed: u64) -> u64 {
        let microseconds = |time: Duration| time.as_micros().try_into().unwrap_or(u64::MAX);
        let now = microseconds(self.settings.clock.now().saturating_add(MAX_LEAD));
        now.max(committed.saturating_add(microseconds(MAX_LEAD)))
    }
}

impl fmt::Debug for PostgresPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresPublisher")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
