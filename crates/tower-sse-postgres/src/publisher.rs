//! Publishing in batches.

use std::{sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::select;
use tower_sse::hub::PublishError;
use tower_sse::hub::broker::{Acknowledged, Publication, Publisher};
use tower_sse_broker::__private::{Identity, InFlight, Queue, Queued, SendBatch};

use crate::error::{ends_session, is_rolled_back};
use crate::settings::{Settings, since_epoch};
use crate::{Error, ErrorKind};
use crate::{connection::Connection, numbering::Appended};

/// How far a client's id may be ahead of the server's clock or the newest committed id, whichever
/// is later.
const MAX_LEAD: Duration = Duration::from_secs(60);
/// One batch in this many looks at the whole inbox, in case a row of a transaction before
/// `Settings::covered` is unnumbered.
const FULL_PASS: u32 = 50;
/// A batch without events calls the schema's function `number` only if the batch before it had at
/// most this many new rows. Otherwise, it calls `append`: `number` is cheaper only if exactly one
/// row is waiting.
const FEW: u64 = 16;
/// The schema's size limits in bytes, which also apply to events published by SQL.
const MAX_TOPIC: usize = 1 << 10;
const MAX_DATA: usize = 1 << 20;
const MAX_NAME: usize = 256;
const MAX_COMMENT: usize = 4 << 10;

/// Publishes the events of a hub as rows of its log.
pub struct PostgresPublisher {
    pub(crate) queue: Arc<Queue>,
    pub(crate) deadline: Duration,
    pub(crate) settings: Arc<Settings>,
}

impl Publisher for PostgresPublisher {
    async fn publish(&self, publication: Publication) -> Result<Acknowledged, PublishError> {
        check(&publication).map_err(|(kind, reason)| {
            let error = Error::new("store the event in PostgreSQL", kind, reason).into();
            let is_too_large = kind == ErrorKind::TooLarge;
            if is_too_large { PublishError::TooLarge(error) } else { PublishError::Invalid(error) }
        })?;
        let not_sent = || self.settings.health.not_sent("publish an event to PostgreSQL");
        self.queue.publish(publication, self.deadline, not_sent).await
    }

    fn newest_possible(&self, committed: u64) -> u64 {
        let microseconds = |time: Duration| time.as_micros().try_into().unwrap_or(u64::MAX);
        let now = microseconds(self.settings.clock.now().saturating_add(MAX_LEAD));
        now.max(committed.saturating_add(microseconds(MAX_LEAD)))
    }
}

tower_sse::opaque_debug!(PostgresPublisher);

/// Returns an error's kind and reason if no row can hold the event.
fn check(publication: &Publication) -> Result<(), (ErrorKind, String)> {
    let fields = publication.event.fields();
    let texts = [
        ("topic", Some(&*publication.topic), MAX_TOPIC),
        ("data", Some(fields.data), MAX_DATA),
        ("event name", fields.name, MAX_NAME),
        ("comment", fields.comment, MAX_COMMENT),
    ];
    for (field, text, max) in texts {
        let text = text.unwrap_or_default();
        if text.len() > max {
            let reason = format!("{field} has {} bytes, more than {max}", text.len());
            return Err((ErrorKind::TooLarge, reason));
        }
        if let Some(at) = text.find('\0') {
            return Err((ErrorKind::Other, format!("{field} contains U+0000 at byte {at}")));
        }
    }
    if let Some(retry) = fields.retry.filter(|retry| i64::try_from(*retry).is_err()) {
        let reason = format!("retry is {retry} ms, more than {}", i64::MAX);
        return Err((ErrorKind::TooLarge, reason));
    }
    Ok(())
}

pub(crate) struct Batcher {
    pub(crate) settings: Arc<Settings>,
    /// The number of batches that were sent.
    pub(crate) passes: u32,
    /// Whether the last batch numbered or found more than [`FEW`] rows that were new to the hub.
    pub(crate) several: bool,
}

impl SendBatch<Arc<Connection>> for Batcher {
    async fn send(
        &mut self,
        in_flight: &InFlight<'_, Arc<Connection>>,
        batch: Vec<Queued>,
    ) -> bool {
        let Self { settings, passes, several } = self;
        let session = &in_flight.session;
        *passes = passes.wrapping_add(1);
        if passes.is_multiple_of(FULL_PASS) {
            settings.covered.store(0, Relaxed);
        }
        let (covered, known) = (settings.covered.load(Relaxed), in_flight.newest_known());
        let expects_one = batch.is_empty() && !*several;
        let appended = select! {
            biased;
            appended = Appended::append(&session.connection, covered, known, None, false, expects_one, &batch) => appended,
            // The acknowledgement would no longer count, and the next session must not wait.
            () = session.ended.cancelled() => Err(session.connection.abandon().await),
        };
        match &appended {
            Ok(appended) => {
                settings.covered.store(appended.covered, Relaxed);
                *several = appended.before.saturating_sub(known) > FEW;
            }
            Err(error) => {
                if !session.ended.is_cancelled() {
                    settings.health.set_error(error.clone());
                }
                if ends_session(error) {
                    session.end();
                }
            }
        }
        let more = appended.as_ref().is_ok_and(|appended| appended.more);
        for (place, queued) in (1..).zip(batch) {
            let outcome = match &appended {
                Ok(Appended { before, at, .. }) => {
                    let event = Identity { number: before + place, fingerprint: queued.nonce };
                    in_flight.acknowledge(event, since_epoch(*at))
                }
                Err(error) if is_rolled_back(error) => {
                    Err(PublishError::Refused(error.clone().into()))
                }
                Err(error) => Err(PublishError::Unknown(error.clone().into())),
            };
            queued.answer(outcome);
        }
        more
    }
}
