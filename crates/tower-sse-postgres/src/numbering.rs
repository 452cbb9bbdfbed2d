//! Calls of `append` and `number`, the functions of the schema that number events.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_postgres::{Row, types::Type};
use tower_sse_broker::__private::{Identity, Queued};
use tower_sse_broker::tasks::lock;

use crate::Error;
use crate::connection::{Connection, EMPTY_QUEUE, Parameter};
use crate::error::exceeds_limit;
use crate::log_row::{LogRow, number, signed};
use crate::settings::Settings;

/// How long a hub sends no notifications after it has found the server's queue full.
const QUIET: Duration = Duration::from_secs(1);

const APPEND_COLUMNS: usize = 4;

/// The response of the SQL function `append` or `number`.
pub(crate) struct Appended {
    /// A transaction's id. Normally, all inbox rows of transactions with lower ids are numbered.
    pub(crate) covered: i64,
    /// The number just before that of the batch's first event or, from `number`, of the added row.
    /// Zero if nothing was left to do.
    pub(crate) before: u64,
    pub(crate) at: SystemTime,
    /// Whether rows may be left in the inbox.
    pub(crate) more: bool,
    /// The row that `number` has added and returned, and the identity of the row before it.
    added: Option<(Identity, LogRow)>,
}

impl Appended {
    /// Numbers the rows of the inbox and adds the events of `batch` after them. If the server's
    /// notification queue is full, no process is notified, and other processes find the events by
    /// polling.
    ///
    /// `known` is the newest number that this process has read or that was acknowledged to it.
    /// `lost` is the newest lost number if no mark follows it yet. `opens` is `true` for a new
    /// connection. With `expects_one`, calls `number`, which is cheaper if one row is waiting:
    /// `batch` must then be empty.
    ///
    /// Wakes the reader (the hub's task that follows the log), unless nothing was left to number
    /// and another hub's notification can wake it. If the response has a row, the reader finds the
    /// row in [`Settings::added`].
    pub(crate) async fn append(
        connection: &Connection,
        covered: i64,
        known: u64,
        lost: Option<u64>,
        opens: bool,
        expects_one: bool,
        batch: &[Queued],
    ) -> Result<Appended, Error> {
        let fields = || batch.iter().map(|queued| queued.publication.event.fields());
        let topics: Vec<_> = batch.iter().map(|queued| &queued.publication.topic).collect();
        let data: Vec<_> = fields().map(|fields| fields.data).collect();
        let names: Vec<_> = fields().map(|fields| fields.name).collect();
        let retries: Vec<_> = fields().map(|fields| fields.retry.map(signed)).collect();
        let comments: Vec<_> = fields().map(|fields| fields.comment).collect();
        let ends: Vec<_> = batch.iter().map(|queued| queued.publication.ends_topic).collect();
        let nonces: Vec<_> = batch.iter().map(|queued| signed(queued.nonce)).collect();
        let function = "append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let settings = &*connection.settings;
        let Settings { listens, quiet_until, wakes, health, added, .. } = settings;
        let is_quiet = lock(quiet_until).is_some_and(|until| Instant::now() < until);
        let mut wake = *listens && !is_quiet;
        loop {
            let parameters: [Parameter<'_>; 13] = [
                connection.stream(),
                (&covered, Type::INT8),
                (&signed(known), Type::INT8),
                (&lost.map(signed), Type::INT8),
                (&opens, Type::BOOL),
                (&topics, Type::TEXT_ARRAY),
                (&data, Type::TEXT_ARRAY),
                (&names, Type::TEXT_ARRAY),
                (&retries, Type::INT8_ARRAY),
                (&comments, Type::TEXT_ARRAY),
                (&ends, Type::BOOL_ARRAY),
                (&nonces, Type::INT8_ARRAY),
                (&wake, Type::BOOL),
            ];
            let appended = if expects_one {
                let parameters: [Parameter<'_>; 4] = [
                    connection.stream(),
                    (&covered, Type::INT8),
                    (&signed(known), Type::INT8),
                    (&wake, Type::BOOL),
                ];
                connection.call_one("number($1, $2, $3, $4)", &parameters, Self::decode).await
            } else {
                connection.call_one(function, &parameters, Self::decode).await
            };
            match appended {
                Err(error) if wake && exceeds_limit(&error) => health.set_error(error),
                mut appended => {
                    let mut is_late = false;
                    if let Ok(appended) = &mut appended {
                        settings.clock.set(appended.at);
                        is_late = appended.before == 0;
                        // Set `added` before events are acknowledged: a reader that takes an
                        // earlier row after an acknowledgement would find the event missing.
                        *lock(added) = appended.added.take();
                    }
                    // If another hub was faster, its notification wakes the reader. If that hub
                    // doesn't notify, the reader polls soon.
                    if !(is_late && wake && health.stats().listens()) {
                        wakes.added.notify_one();
                    }
                    return appended;
                }
            }
            wake = false;
            *lock(quiet_until) = Some(Instant::now() + QUIET);
            _ = connection.query(&format!("select from {EMPTY_QUEUE}"), &[]).await;
        }
    }

    fn decode(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let (covered, before, more) = (row.try_get(0)?, number(row.try_get(1)?), row.try_get(2)?);
        if row.len() == APPEND_COLUMNS {
            return Ok(Self { covered, before, at: row.try_get(3)?, more, added: None });
        }
        // These are the columns of `number`. If it returns no row or a large one, `data` is null.
        let has_row = row.try_get::<_, Option<&str>>(9)?.is_some();
        let added = has_row.then(|| {
            let fingerprint = number(row.try_get(3)?);
            Ok((Identity { number: before, fingerprint }, LogRow::decode(row, 4)?))
        });
        Ok(Self { covered, before, at: row.try_get(6)?, more, added: added.transpose()? })
    }
}
