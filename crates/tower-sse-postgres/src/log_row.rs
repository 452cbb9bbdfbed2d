use std::time::SystemTime;

use tokio_postgres::Row;
use tower_sse::Event;
use tower_sse_broker::__private::{Identity, event_of};

/// A row of the log.
pub(crate) struct LogRow {
    pub(crate) identity: Identity,
    pub(crate) at: SystemTime,
    pub(crate) kind: Kind,
    /// The size of the data in bytes. The server limits a page by the sum of these sizes.
    pub(crate) bytes: usize,
}

/// The content of a row.
pub(crate) enum Kind {
    Event {
        topic: String,
        event: Event,
        ends_topic: bool,
    },
    /// A mark: rows before this one may be lost.
    Loss,
    /// The numbers leap to this row. `Some` has the number of the row before it.
    Leap(Option<u64>),
    /// A row that the schema's functions did not write.
    Foreign,
}

impl LogRow {
    pub(crate) fn decode(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let data: &str = row.try_get("data")?;
        let kind = match row.try_get::<_, i16>("kind")? {
            kind @ (0 | 1) => decode_event(row, data, kind == 1)?,
            2 => Kind::Loss,
            3 => Kind::Leap(data.parse().ok()),
            _ => Kind::Foreign,
        };
        let identity = Identity {
            number: number(row.try_get("seq")?),
            fingerprint: number(row.try_get("nonce")?),
        };
        Ok(Self { identity, at: row.try_get("at")?, kind, bytes: data.len() })
    }
}

fn decode_event(row: &Row, data: &str, ends_topic: bool) -> Result<Kind, tokio_postgres::Error> {
    let retry = row.try_get::<_, Option<i64>>("retry")?.map(number);
    let Ok(event) = event_of(data, row.try_get("event")?, retry, row.try_get("comment")?) else {
        return Ok(Kind::Foreign);
    };
    Ok(Kind::Event { topic: row.try_get("topic")?, event, ends_topic })
}

/// Converts a number from the server.
pub(crate) fn number(number: i64) -> u64 {
    number.try_into().unwrap_or_default()
}

/// Converts a number for the server, which has no unsigned numbers.
pub(crate) fn signed(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
