//! Where events are added to the log.

use std::time::SystemTime;

use tokio_postgres::types::Type;

use super::entry::Entry;
use crate::{
    Error,
    connection::{Connection, Parameter, number, signed},
};

/// What a process knows of the log when it calls `append`.
#[derive(Clone, Copy)]
pub(crate) struct Situation {
    /// The newest number that this process has read or been given.
    pub(crate) known: u64,
    /// The newest lost number, if no mark follows it yet.
    pub(crate) lost: Option<u64>,
    /// Whether the connection is new.
    pub(crate) is_new: bool,
}

/// The response of `append`.
pub(crate) struct Appended {
    /// The id of a transaction: all rows of the inbox by earlier transactions are numbered.
    pub(super) covered: i64,
    /// The number before that of the first event.
    pub(super) before: u64,
    pub(super) at: SystemTime,
    /// Whether rows are left in the inbox.
    pub(super) more: bool,
}

impl Connection {
    /// Numbers the rows of the inbox, and adds these events behind them.
    pub(crate) async fn append(
        &self,
        covered: i64,
        Situation { known, lost, is_new }: Situation,
        batch: &[Entry],
    ) -> Result<Appended, Error> {
        let fields = || batch.iter().map(|entry| entry.publication.event.fields());
        let topics: Vec<_> = batch.iter().map(|entry| &entry.publication.topic).collect();
        let data: Vec<_> = fields().map(|fields| fields.data).collect();
        let names: Vec<_> = fields().map(|fields| fields.name).collect();
        let retries: Vec<_> = fields().map(|fields| fields.retry.map(signed)).collect();
        let comments: Vec<_> = fields().map(|fields| fields.comment).collect();
        let ends: Vec<_> = batch.iter().map(|entry| entry.publication.ends_topic).collect();
        let nonces: Vec<_> = batch.iter().map(|entry| signed(entry.nonce)).collect();
        let parameters: [Parameter<'_>; 13] = [
            self.stream(),
            (&covered, Type::INT8),
            (&signed(known), Type::INT8),
            (&lost.map(signed), Type::INT8),
            (&is_new, Type::BOOL),
            (&topics, Type::TEXT_ARRAY),
            (&data, Type::TEXT_ARRAY),
            (&names, Type::TEXT_ARRAY),
            (&retries, Type::INT8_ARRAY),
            (&comments, Type::TEXT_ARRAY),
            (&ends, Type::BOOL_ARRAY),
            (&nonces, Type::INT8_ARRAY),
            (&self.settings.listens, Type::BOOL),
        ];
        let function = "append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let appended = self.call_one(function, &parameters, |row| {
            let (before, at) = (number(row.try_get(1)?), row.try_get(2)?);
            Ok(Appended { covered: row.try_get(0)?, before, at, more: row.try_get(3)? })
        });
        appended.await
    }
}
