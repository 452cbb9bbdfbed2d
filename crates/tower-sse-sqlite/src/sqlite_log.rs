//! Implements [`Log`] for the table, so that the follower in `tower-sse-broker` can follow it.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row};
use tokio::time::{Instant, timeout_at};
use tower_sse::hub::broker::Arrival;
use tower_sse_broker::__private::{Content, Identity, Known, Log, LogEntry, Page};
use tower_sse_broker::__private::{LogOptions, event_of};

use crate::table::{Source, Table, Trimmed, before, identity_of, now};
use crate::worker::{LastRow, Worker};
use crate::{Error, ErrorKind, Health};

/// The usual time between two trims, give or take a quarter.
const TRIM_INTERVAL: Duration = Duration::from_secs(2);
/// How long the hub waits for a change before it reads the table anyway, to look for losses.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// The total size of rows, in bytes, at which a page is full.
const PAGE_BYTES: u64 = 4 << 20;

type Result<T, E = Error> = std::result::Result<T, E>;

/// A hub's access to its table.
#[derive(Debug)]
pub(crate) struct SqliteLog {
    pub(crate) source: Source,
    pub(crate) options: LogOptions,
    pub(crate) max_bytes: u64,
    pub(crate) health: Health,
    pub(crate) next_trim: Instant,
    /// The first row that an unfinished trim keeps.
    pub(crate) first_kept: Option<u64>,
    /// About how much the table has grown since a trim found it within its limits, as a fraction of
    /// these limits. A session starts with 1, so its first trim counts the rows.
    pub(crate) growth: f64,
    pub(crate) last_row: LastRow,
}

pub(crate) struct LogRow {
    identity: Identity,
    bytes: u64,
    content: Content,
}

impl Log for SqliteLog {
    type Session = Worker;
    type Publishing = Worker;
    type Entry = LogRow;

    const SERVER: &'static str = "SQLite";

    async fn open(&mut self, mut known: Known) -> Result<Worker> {
        (self.growth, self.first_kept) = (1.0, None);
        let mut worker = Worker::start(self.source.clone(), &self.last_row).await?;
        // If this file replaced another one, it may lack rows of that file, even rows that this
        // process has not read.
        if let Some(it) = worker.last_row.filter(|it| it.number > known.newest) {
            known.newest = it.number;
            if !worker.run(move |table| table.has(it)).await? {
                known.lost = Some(it.number);
            }
        }
        self.mark(&mut worker, known).await.map(|_| worker)
    }

    async fn newest_before(&mut self, it: &mut Worker, age: Duration) -> Result<Option<Identity>> {
        let newest = "select id, nonce from {} where at < ? order by id desc limit 1";
        it.run(move |it| it.statement(newest)?.query_row([before(age)], identity_of).optional())
            .await
    }

    async fn read(&mut self, it: &mut Worker, from: u64, count: usize) -> Result<Page<LogRow>> {
        let rows = "select * from {} where id >= ? order by id limit ?";
        it.run(move |table| {
            let (mut entries, mut bytes, mut rows) = (Vec::new(), 0, table.statement(rows)?);
            let mut rows = rows.query([from, count as u64])?;
            while bytes < PAGE_BYTES
                && let Some(row) = rows.next()?
            {
                let row = LogRow::decode(row)?;
                // The process may already have the first row, which must not fill the page.
                bytes += if entries.is_empty() { 0 } else { row.bytes };
                entries.push(row);
            }
            Ok(Page { has_more: entries.len() == count || bytes >= PAGE_BYTES, entries })
        })
        .await
    }

    /// Without this, each commit to the program's own tables would read the newest event again.
    async fn look(
        &mut self,
        it: &mut Worker,
        last: Identity,
        _count: usize,
    ) -> Result<Option<Vec<LogRow>>> {
        let is_newest = it.run(move |table| Ok(table.newest().optional()? == Some(last))).await?;
        Ok(is_newest.then(Vec::new))
    }

    async fn has_up_to(&mut self, it: &mut Worker, number: u64) -> Result<bool> {
        let exists = format!("select exists (select 1 from {{}} where id <= {number})");
        it.run(move |table| table.number(&exists)).await.map(|exists| exists > 0)
    }

    async fn mark(&mut self, it: &mut Worker, known: Known) -> Result<Option<Identity>> {
        it.run(move |table| table.append(known.newest, known.lost, &[])).await.map(|_| None)
    }

    async fn publishing(&mut self, worker: &mut Worker, _: Identity) -> Result<Worker> {
        Ok(worker.clone())
    }

    async fn wait(&mut self, worker: &mut Worker) -> Result<()> {
        let until = self.next_trim.min(Instant::now() + MAX_PAUSE);
        _ = timeout_at(until, worker.changed.notified()).await;
        Ok(())
    }

    /// If a trim is due, trims the table and updates its statistics. Removes many rows part by part
    /// and pauses between two parts for as long as one takes, for the publishers of all hubs.
    async fn upkeep(&mut self, worker: &mut Worker, _: Identity) -> Result<()> {
        if Instant::now() < self.next_trim {
            return Ok(());
        }
        self.next_trim = Instant::now() + TRIM_INTERVAL.mul_f64(0.75 + fastrand::f64() / 2.0);
        // Count the rows only after the table has grown by a tenth, because counting reads them.
        let counts = self.first_kept.is_none() && self.growth >= 0.1;
        let max = counts.then_some((self.options.max_events, self.max_bytes));
        let age = self.options.max_age.unwrap_or(Duration::MAX);
        let ends_session = |error: &Error| error.kind() == ErrorKind::Unreachable;
        let (began, first_kept) = (Instant::now(), self.first_kept.take());
        let trim = move |table: &Table| {
            let first = first_kept.map_or_else(|| table.first_kept(age, max), Ok)?;
            table.trim(first).map(|trimmed| (first, trimmed))
        };
        let trimmed = self.health.tolerate(worker.run(trim).await, ends_session)?;
        if let Some((first, Trimmed { is_full, is_done })) = trimmed {
            if is_full {
                self.first_kept = Some(first);
                self.next_trim = Instant::now() + began.elapsed();
            }
            if is_done && counts {
                self.growth = 0.0;
            }
        }
        // Survey even a table that can't be trimmed, so that the operator sees how it grows.
        let surveyed = worker.run(Table::survey).await;
        if let Some((oldest_age, bytes)) = self.health.tolerate(surveyed, ends_session)? {
            let mut log = self.options.log_stats(oldest_age);
            log.bytes = Some(bytes);
            self.health.stats().update(|stats| stats.log = Some(log));
        }
        Ok(())
    }

    fn content(&mut self, row: LogRow) -> Content {
        let bytes = row.bytes as f64 / self.max_bytes as f64;
        self.growth += bytes.max(1.0 / self.options.max_events as f64);
        row.content
    }
}

impl LogEntry for LogRow {
    fn identity(&self) -> Identity {
        self.identity
    }
}

impl LogRow {
    fn decode(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (identity, bytes, ends) = (identity_of(row)?, row.get(3)?, row.get::<_, i64>(4)?);
        // A program may have set `at` to any number, even a negative one.
        let at = row.get::<_, i64>(2)?.try_into().unwrap_or_default();
        // Fails if a text isn't UTF-8.
        let topic_and_event = || {
            let event = event_of(row.get::<_, String>(9)?, row.get(6)?, row.get(5)?, row.get(8)?);
            Ok::<_, rusqlite::Error>((row.get(7)?, event))
        };
        let content = match (ends, topic_and_event()) {
            (2, _) => Content::Mark,
            (_, Ok((topic, Ok(event)))) => {
                let age = Duration::from_micros(now().saturating_sub(at));
                let arrival = Arrival::new(identity.number, Duration::from_micros(at), age);
                Content::Event { arrival: arrival.ends_topic(ends == 1), topic, event }
            }
            _ => Content::Unreadable,
        };
        Ok(Self { identity, bytes, content })
    }
}
