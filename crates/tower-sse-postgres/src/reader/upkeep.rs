use std::time::Duration;

use tokio::time::Instant;

use super::reader::Reader;
use crate::{Error, connection::Connection, health::Waiting};

/// The time between two trims, give or take a quarter.
const TRIM_INTERVAL: Duration = Duration::from_secs(2);
/// The number of trims for each survey of the tables.
const TRIMS_PER_SURVEY: u32 = 5;

/// Trims the log and surveys the tables, from time to time.
pub(crate) struct Upkeep {
    max_age: Option<Duration>,
    max_rows: u64,
    /// The lowest number that the log can still have.
    first: i64,
    due: Instant,
    trims: u32,
    /// How many rows the reader had read when the rows of the log were last counted.
    counted: Option<u64>,
}

impl Upkeep {
    pub(crate) fn new(max_age: Option<Duration>, max_rows: u64) -> Self {
        Self { max_age, max_rows, first: 0, due: Instant::now(), trims: 0, counted: None }
    }

    /// Forgets what this process knows of the log, because the next session may find another log.
    pub(super) fn reset(&mut self) {
        (self.first, self.counted) = (0, None);
    }

    /// Trims the log and surveys the tables, if that is due.
    pub(super) async fn run(
        &mut self,
        reader: &Reader,
        connection: &Connection,
    ) -> Result<(), Error> {
        if Instant::now() < self.due {
            return Ok(());
        }
        self.due = Instant::now() + jittered(TRIM_INTERVAL);
        let done = match self.trim(reader, connection).await {
            Ok(()) if self.trims % TRIMS_PER_SURVEY == 1 => self.survey(reader, connection).await,
            result => result,
        };
        match done {
            // The user may lack a permission.
            Err(error) if !error.ends_session() => {
                debug!(error = %error.with_sources(), "failed to trim the log in PostgreSQL");
                reader.settings.health.set_error(&error);
                Ok(())
            }
            result => result,
        }
    }

    async fn trim(&mut self, reader: &Reader, connection: &Connection) -> Result<(), Error> {
        self.trims = self.trims.wrapping_add(1);
        // Count the rows only after enough new ones, because counting takes as long as reading all
        // of them.
        let counts = self.counted.is_none_or(|rows| reader.rows - rows >= self.max_rows / 10);
        let rows = counts.then(|| self.max_rows.try_into().unwrap_or(i64::MAX));
        let trimmed = connection.trim(self.first, self.max_age, rows).await?;
        self.first = trimmed.first;
        if trimmed.is_full {
            self.due = Instant::now();
        } else if counts {
            self.counted = Some(reader.rows);
        }
        reader.stats.update_log(|log| {
            log.oldest_age = trimmed.oldest.map_or(Duration::ZERO, |at| reader.age_of(at));
            log.retention_age = reader.feed.max_age();
        });
        Ok(())
    }

    async fn survey(&mut self, reader: &Reader, connection: &Connection) -> Result<(), Error> {
        let surveyed = connection.survey().await?;
        let oldest_age = surveyed.since.map_or(Duration::ZERO, |at| reader.age_of(at));
        reader.settings.health.set_waiting(Waiting { rows: surveyed.waiting, oldest_age });
        reader.stats.update_log(|log| log.bytes = surveyed.bytes);
        Ok(())
    }
}

/// Returns a random time of three quarters to five quarters of `time`.
pub(super) fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.75 + fastrand::f64() / 2.0)
}
