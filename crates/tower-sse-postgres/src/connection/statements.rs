use std::time::{Duration, SystemTime};

use tokio_postgres::types::Type;
use tower_sse_broker::Identity;

use super::{
    connection::{Connection, Parameter},
    row::{LogRow, number},
};
use crate::Error;

/// The maximum number of waiting rows of the inbox that a survey counts.
const COUNTED: i32 = 100_000;
/// The maximum number of rows that are removed at a time.
const REMOVED: i32 = 10_000;

/// The response of `poll`.
pub(crate) struct Polled {
    /// Whether rows wait in the inbox.
    pub(crate) waits: bool,
    /// The newest row of the log.
    pub(crate) newest: Option<Identity>,
}

/// The response of `trim`.
pub(crate) struct Trimmed {
    /// The lowest number that is left in the log.
    pub(crate) first: i64,
    pub(crate) oldest: Option<SystemTime>,
    /// Whether more rows can be removed at once.
    pub(crate) is_full: bool,
}

/// The response of `survey`.
pub(crate) struct Surveyed {
    pub(crate) waiting: u64,
    pub(crate) since: Option<SystemTime>,
    pub(crate) bytes: u64,
}

impl Connection {
    /// Returns the first parameter of most functions.
    pub(crate) fn stream(&self) -> Parameter<'_> {
        (&self.settings.stream, Type::TEXT)
    }

    /// Returns at most `rows` rows of the log, from this number on.
    pub(crate) async fn read(
        &self,
        from: u64,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<LogRow>, Error> {
        let (rows, bytes) = (i32::try_from(rows).unwrap_or(i32::MAX), signed(bytes as u64));
        let parameters: [Parameter<'_>; 4] =
            [self.stream(), (&signed(from), Type::INT8), (&rows, Type::INT4), (&bytes, Type::INT8)];
        self.call("read($1, $2, $3, $4)", &parameters, LogRow::decode).await
    }

    /// Returns whether there are new rows, and sets the clock.
    pub(crate) async fn poll(&self, covered: i64) -> Result<Polled, Error> {
        let parameters: [Parameter<'_>; 2] = [self.stream(), (&covered, Type::INT8)];
        let polled = self.call_one("poll($1, $2)", &parameters, |row| {
            self.settings.clock.set(row.try_get(3)?);
            let newest = identity(row.try_get(1)?, row.try_get(2)?);
            Ok(Polled { waits: row.try_get(0)?, newest })
        });
        polled.await
    }

    /// Returns the newest row that is older than this age.
    pub(crate) async fn before(&self, age: Duration) -> Result<Option<Identity>, Error> {
        let parameters: [Parameter<'_>; 2] = [self.stream(), (&age.as_secs_f64(), Type::FLOAT8)];
        let before = self.call_one("before($1, $2)", &parameters, |row| {
            Ok(identity(row.try_get(0)?, row.try_get(1)?))
        });
        before.await
    }

    /// Removes old rows. No row of the log has a number below `first`.
    pub(crate) async fn trim(
        &self,
        first: i64,
        age: Option<Duration>,
        rows: Option<i64>,
    ) -> Result<Trimmed, Error> {
        let parameters: [Parameter<'_>; 5] = [
            self.stream(),
            (&first, Type::INT8),
            (&age.map(|age| age.as_secs_f64()), Type::FLOAT8),
            (&rows, Type::INT8),
            (&REMOVED, Type::INT4),
        ];
        let trimmed = self.call_one("trim($1, $2, $3, $4, $5)", &parameters, |row| {
            let is_full = row.try_get::<_, i64>(2)? >= REMOVED.into();
            Ok(Trimmed { first: row.try_get(0)?, oldest: row.try_get(1)?, is_full })
        });
        trimmed.await
    }

    /// Returns the state of the inbox and the size of the log.
    pub(crate) async fn survey(&self) -> Result<Surveyed, Error> {
        let parameters: [Parameter<'_>; 1] = [(&COUNTED, Type::INT4)];
        let surveyed = self.call_one("survey($1)", &parameters, |row| {
            let (waiting, bytes) = (number(row.try_get(0)?), number(row.try_get(2)?));
            Ok(Surveyed { waiting, since: row.try_get(1)?, bytes })
        });
        surveyed.await
    }
}

fn identity(seq: Option<i64>, nonce: Option<i64>) -> Option<Identity> {
    Some(Identity { number: number(seq?), fingerprint: number(nonce?) })
}

pub(crate) fn signed(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
