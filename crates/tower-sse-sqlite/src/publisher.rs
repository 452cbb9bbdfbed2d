//! Publishing in batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tower_sse::hub::PublishError;
use tower_sse::hub::broker::{Acknowledged, Publication, Publisher};
use tower_sse_broker::__private::{Identity, InFlight, Queue, Queued, SendBatch};

use crate::error::{failed, of_sqlite};
use crate::table::{Appended, now};
use crate::{Error, ErrorKind, Health, worker::Worker};

/// How far a client's id may be ahead of the clock or the newest committed id, whichever is later,
/// in microseconds.
const MAX_LEAD: u64 = 60_000_000;

/// Publishes the events of a hub as rows of its table.
#[derive(Debug)]
pub struct SqlitePublisher {
    pub(crate) queue: Arc<Queue>,
    pub(crate) publish_deadline: Duration,
    pub(crate) health: Health,
}

impl Publisher for SqlitePublisher {
    async fn publish(&self, publication: Publication) -> Result<Acknowledged, PublishError> {
        let not_sent = || self.health.not_sent("publish an event to SQLite");
        self.queue.publish(publication, self.publish_deadline, not_sent).await
    }

    fn newest_possible(&self, committed: u64) -> u64 {
        committed.max(now()).saturating_add(MAX_LEAD)
    }
}

pub(crate) struct Batcher {
    pub(crate) health: Health,
    /// When the first of the newest batches began that another connection's lock has refused, without
    /// any other outcome between them.
    pub(crate) locked_since: Option<Instant>,
}

impl Batcher {
    /// Notes whether a lock has refused the batch that began at this time. If so, the error says since
    /// when: a program that has forgotten a transaction locks the file until the program ends.
    fn note<T>(&mut self, began: Instant, appended: Result<T, Error>) -> Result<T, Error> {
        let is_locked = |error: &Error| error.kind() == ErrorKind::Locked;
        if !appended.as_ref().is_err_and(is_locked) {
            self.locked_since = None;
            return appended;
        }
        let seconds = self.locked_since.get_or_insert(began).elapsed().as_secs();
        let who = "another connection had a transaction open";
        let reason = format!("database is locked: {who} at each attempt in the last {seconds} s");
        Err(failed(ErrorKind::Locked, reason))
    }
}

impl SendBatch<Worker> for Batcher {
    async fn send(&mut self, in_flight: &InFlight<'_, Worker>, batch: Vec<Queued>) -> bool {
        let (known, session) = (in_flight.newest_known(), &in_flight.session);
        let began = Instant::now();
        let append = session.connection.run(move |table| {
            let appended = table.append(known, None, &batch);
            Ok((batch, appended))
        });
        // If the job doesn't end in time, it drops `batch`, and the publishers receive `Unknown`.
        let (batch, appended) = match append.await {
            Ok((batch, appended)) => (batch, appended.map_err(of_sqlite)),
            Err(error) => (Vec::new(), Err(error)),
        };
        session.connection.changed.notify_one();
        let appended = self.note(began, appended);
        let Appended { at, numbers } = appended.unwrap_or_else(|error| {
            self.health.set_error(error.clone());
            if error.kind() == ErrorKind::Unreachable {
                session.end();
            }
            Appended { at: Duration::ZERO, numbers: vec![Err(error); batch.len()] }
        });
        for (queued, number) in batch.into_iter().zip(numbers) {
            let fingerprint = queued.nonce;
            queued.answer(match number {
                Ok(number) => in_flight.acknowledge(Identity { number, fingerprint }, at),
                Err(error) if error.kind() == ErrorKind::Unreachable => {
                    Err(PublishError::Unknown(error.into()))
                }
                Err(error) if error.kind() == ErrorKind::TooLarge => {
                    Err(PublishError::TooLarge(error.into()))
                }
                Err(error) => Err(PublishError::Refused(error.into())),
            });
        }
        false
    }
}
