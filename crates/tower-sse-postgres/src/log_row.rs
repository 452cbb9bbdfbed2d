use std::time::SystemTime;

use tokio_postgres::Row;
use tower_sse::Event;
use tower_sse_broker::__private::{Identity, event_of};

pub(crate) struct LogRow {
    pub(crate) identity: Identity,
    pub(crate) at: SystemTime,
    pub(crate) kind: Kind,
    /// The size of the data in bytes. The server limits a page by the sum of these sizes.
    pub(crate) bytes: usize,
}

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
    /// Decodes the columns from `first` on, by position: looking them up by name takes longer.
    pub(crate) fn decode(row: &Row, first: usize) -> Result<Self, tokio_postgres::Error> {
        let (kind, data): (i16, &str) = (row.try_get(first + 3)?, row.try_get(first + 5)?);
        let kind = match kind {
            0 | 1 => decode_event(row, first, data, kind == 1)?,
            2 => Kind::Loss,
            3 => Kind::Leap(data.parse().ok()),
            _ => Kind::Foreign,
        };
        let [number, fingerprint] = [row.try_get(first)?, row.try_get(first + 1)?].map(number);
        let identity = Identity { number, fingerprint };
        Ok(Self { identity, at: row.try_get(first + 2)?, kind, bytes: data.len() })
    }
}

fn decode_event(
    row: &Row,
    first: usize,
    data: &str,
    ends_topic: bool,
) -> Result<Kind, tokio_postgres::Error> {
    let retry = row.try_get::<_, Option<i64>>(first + 7)?.map(number);
    let Ok(event) = event_of(data, row.try_get(first + 6)?, retry, row.try_get(first + 8)?) else {
        return Ok(Kind::Foreign);
    };
    Ok(Kind::Event { topic: row.try_get(first + 4)?, event, ends_topic })
}

/// Converts a number from the server. A negative number becomes 0.
pub(crate) fn number(number: i64) -> u64 {
    number.try_into().unwrap_or_default()
}

/// Converts a number for the server, which has no unsigned numbers.
pub(crate) fn signed(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
