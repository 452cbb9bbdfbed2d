//! Implements [`Log`] for the table `log`, so that the follower in `tower-sse-broker` can read it.

use std::time::{Duration, SystemTime};
use std::{mem, sync::Arc, sync::atomic::Ordering::Relaxed};

use tokio::select;
use tokio::time::{Instant, sleep_until};
use tower_sse::hub::broker::Arrival;
use tower_sse_broker::__private::{Content, Identity, Known, Log, LogEntry};
use tower_sse_broker::__private::{LogOptions, Page, Queue};
use tower_sse_broker::tasks::lock;

use crate::connection::{Connection, Opened};
use crate::error::{ends_session, is_too_large};
use crate::log_row::{Kind, LogRow, signed};
use crate::numbering::Appended;
use crate::settings::{Settings, since_epoch};
use crate::{Error, ErrorKind};

/// The size of a full page in bytes. Limited because the client library buffers a whole response.
const PAGE_BYTES: usize = 4 << 20;
/// The longest age that is passed to the server, whose intervals have a limit. No row is older than
/// this, so a longer age would mean the same.
pub(crate) const LONGEST: Duration = Duration::from_secs(1_000_000_000);
/// The time between two polls, give or take a quarter, if notifications don't arrive or programs
/// publish without waking the hub. A poll also comes this long after a wake-up that finds nothing.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The time between two polls, give or take a quarter, if notifications arrive and no poll within
/// [`BUSY`] has shown that rows come without a wake-up. No wake-up puts the next poll off. Each poll
/// takes processor time on the server.
const QUIET_INTERVAL: Duration = Duration::from_secs(2);
/// How long a hub polls at `POLL_INTERVAL` after a poll has shown that.
const BUSY: Duration = Duration::from_secs(60);
/// The minimum time between two batches that the wake-up `Wakes::inbox` causes. A batch takes about
/// 0.5 ms of the server's processor time, however few rows it numbers. The minimum doesn't apply
/// while exactly one row is read between two such wake-ups.
const WAKE_INTERVAL: Duration = Duration::from_millis(5);
/// The pause after slow polls, as a multiple of a poll's duration.
const POLL_SHARE: u32 = 10;
/// Slow polls lengthen the pause to at most this.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How often a poll looks at the whole inbox, in case a row of a transaction before
/// `Settings::covered` is unnumbered.
const FULL_INTERVAL: Duration = Duration::from_secs(5);
/// The time between two trims while there are new rows, give or take a quarter.
const TRIM_INTERVAL: Duration = Duration::from_secs(2);
/// While there are new rows, every fifth trim also surveys the tables.
const TRIMS_PER_SURVEY: u32 = 5;

/// The log of one hub's stream.
pub(crate) struct PostgresLog {
    pub(crate) settings: Arc<Settings>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) options: LogOptions,
    pub(crate) state: LogState,
}

/// What the log knows besides its options.
#[derive(Default)]
pub(crate) struct LogState {
    /// The number of rows that were read.
    rows: u64,
    next_poll: Option<Instant>,
    /// When the pause after slow polls ends. No wake-up shortens this pause.
    paused_until: Option<Instant>,
    next_wake: Option<Instant>,
    /// When `Wakes::inbox` last woke this task.
    last_wake: Option<Instant>,
    /// How many rows had been read at the last wake-up by `Wakes::inbox`.
    woken: u64,
    /// How long the last poll took.
    last_took: Duration,
    next_full: Option<Instant>,
    /// When a poll last found `is_unwoken` or `is_unannounced` still set by the poll before it.
    found: Option<Instant>,
    /// Whether a wake-up ended the last wait, not a due poll.
    is_notified: bool,
    /// Whether the last poll found rows in the log and no wake-up has ended a wait since.
    is_unannounced: bool,
    /// Whether the last poll found rows in the inbox that no wake-up by `Wakes::inbox` explains,
    /// neither shortly before the poll nor since.
    is_unwoken: bool,
    /// Whether the next look polls. If `false`, a wake-up ended the wait before a poll was due.
    is_due: bool,
    /// Whether this process itself caused the last wake-up.
    is_own: bool,
    next_trim: Option<Instant>,
    trims: u32,
    /// How many rows had been read at the last trim.
    trimmed: u64,
    /// The lowest number that can still be in the log.
    first: i64,
    /// How many rows had been read when the log's rows were last counted.
    counted: Option<u64>,
}

impl Log for PostgresLog {
    type Session = Opened;
    type Publishing = Arc<Connection>;
    type Entry = LogRow;

    const SERVER: &'static str = "PostgreSQL";
    const SKIPS: bool = true;

    async fn open(&mut self, known: Known) -> Result<Opened, Error> {
        let opened = Opened::connect(&self.settings).await?;
        // This adds a mark if the log is empty, ends before `known.newest`, has no mark after
        // `known.lost`, or was last numbered in another cluster.
        Appended::append(&opened.publishing, 0, known.newest, known.lost, true, false, &[]).await?;
        Ok(opened)
    }

    async fn newest_before(
        &mut self,
        session: &mut Opened,
        age: Duration,
    ) -> Result<Option<Identity>, Error> {
        session.reading.before(age.min(LONGEST)).await
    }

    async fn read(
        &mut self,
        session: &mut Opened,
        from: u64,
        count: usize,
    ) -> Result<Page<LogRow>, Error> {
        let entries = session.reading.read(from, count, PAGE_BYTES).await?;
        let bytes: usize = entries.iter().map(|row| row.bytes).sum();
        Ok(Page { has_more: entries.len() == count || bytes >= PAGE_BYTES, entries })
    }

    async fn has_up_to(&mut self, session: &mut Opened, number: u64) -> Result<bool, Error> {
        let oldest = session.reading.first_from(0).await?;
        Ok(oldest.is_some_and(|(oldest, _)| oldest.number <= number))
    }

    async fn mark(
        &mut self,
        session: &mut Opened,
        known: Known,
    ) -> Result<Option<Identity>, Error> {
        Appended::append(&session.publishing, 0, known.newest, known.lost, false, false, &[])
            .await?;
        Ok(None)
    }

    async fn publishing(
        &mut self,
        session: &mut Opened,
        _: Identity,
    ) -> Result<Arc<Connection>, Error> {
        self.settings.covered.store(0, Relaxed);
        // The log of this session may be a different one, so forget what the last session found.
        let rows = self.state.rows;
        self.state = LogState { rows, trimmed: rows, ..LogState::default() };
        Ok(Arc::clone(&session.publishing))
    }

    async fn wait(&mut self, session: &mut Opened) -> Result<(), Error> {
        // No wake-up puts this off: only a poll finds out that events come without one.
        let mut next_poll = self.state.next_poll.unwrap_or_else(Instant::now);
        loop {
            let next_wake = self.state.next_wake;
            (self.state.is_own, self.state.is_notified) = select! {
                biased;
                () = session.reading.ended.cancelled() => {
                    return Err(Self::broken("the reader's connection has ended"));
                }
                () = session.publishing.ended.cancelled() => {
                    return Err(Self::broken("the publishers' connection has ended"));
                }
                () = async {
                    if let Some(next_wake) = next_wake {
                        sleep_until(next_wake).await;
                    }
                    self.settings.wakes.inbox.notified().await;
                } => {
                    // The next batch numbers the inbox's rows and then wakes this task again.
                    self.queue.wake();
                    let (now, rows) = (Instant::now(), self.state.rows);
                    let read = rows - mem::replace(&mut self.state.woken, rows);
                    self.state.next_wake = (read != 1).then(|| now + WAKE_INTERVAL);
                    (self.state.last_wake, self.state.is_unwoken) = (Some(now), false);
                    // A hub that does not notify may be faster. Only a poll then finds the rows.
                    let soon = now + POLL_INTERVAL;
                    let soon = self.state.paused_until.map_or(soon, |end| end.max(soon));
                    next_poll = next_poll.min(soon);
                    continue;
                }
                () = self.settings.wakes.log.notified() => (false, true),
                () = self.settings.wakes.added.notified() => (true, true),
                () = sleep_until(next_poll) => (false, false),
            };
            self.state.is_due = Instant::now() >= next_poll;
            self.state.is_unannounced &= !self.state.is_notified;
            return Ok(());
        }
    }

    /// Polls if a poll is due. Otherwise, if this process caused the wake-up, returns the row in
    /// [`Settings::added`] if that row directly follows `last`.
    async fn look(
        &mut self,
        session: &mut Opened,
        last: Identity,
        _: usize,
    ) -> Result<Option<Vec<LogRow>>, Error> {
        if !self.state.is_due {
            let added = if self.state.is_own { lock(&self.settings.added).take() } else { None };
            let next = added.filter(|(previous, _)| *previous == last);
            return Ok(next.map(|(_, row)| vec![row]));
        }
        let asked = Instant::now();
        if self.state.next_full.is_none_or(|due| due <= asked) {
            self.state.next_full = Some(asked + FULL_INTERVAL);
            self.settings.covered.store(0, Relaxed);
        }
        let polled = session.reading.poll(self.settings.covered.load(Relaxed)).await?;
        let took = asked.elapsed();
        if polled.waits {
            self.queue.wake();
        }
        // A notification can arrive just after its rows: wait for the next poll before concluding
        // that there's none. Rows in the inbox may also be those of a wake-up whose batch is not
        // over.
        let is_woken = self.state.last_wake.is_some_and(|woken| asked - woken < POLL_INTERVAL);
        let is_unwoken = polled.waits && !is_woken;
        let is_unannounced = !self.state.is_notified && polled.newest != Some(last);
        let was_unwoken = mem::replace(&mut self.state.is_unwoken, is_unwoken);
        if mem::replace(&mut self.state.is_unannounced, is_unannounced) || was_unwoken {
            self.state.found = Some(Instant::now());
        }
        let (now, last_took) = (Instant::now(), mem::replace(&mut self.state.last_took, took));
        self.state.next_poll = Some(now + pause(self.interval(), took, last_took));
        self.state.paused_until = Some(now + pause(Duration::ZERO, took, last_took));
        Ok((polled.newest == Some(last)).then(Vec::new))
    }

    /// Trims the log and surveys the tables if that is due.
    async fn upkeep(&mut self, session: &mut Opened, _: Identity) -> Result<(), Error> {
        if self.state.next_trim.is_some_and(|due| Instant::now() < due) {
            return Ok(());
        }
        let is_idle = mem::replace(&mut self.state.trimmed, self.state.rows) == self.state.rows;
        // Without new rows, trim at a fifth of the rate, and always survey.
        let interval = TRIM_INTERVAL * if is_idle { TRIMS_PER_SURVEY } else { 1 };
        self.state.next_trim = Some(Instant::now() + jittered(interval));
        // Use the publishers' connection, to notice if a proxy has closed it while idle.
        let connection = &*session.publishing;
        let trimmed = self.trim(connection).await;
        let health = &self.settings.health;
        let mut measured = health.tolerate(trimmed, ends_session)?;
        // A pooler keeps the hub's connections when it changes its server, such as at a failover.
        // Until this check, the new server can assign numbers again; the mark then reports that.
        // Through such a pooler, no notifications arrive.
        if !health.stats().listens()
            && let Some(cluster) = health.tolerate(connection.cluster().await, ends_session)?
            && cluster != session.cluster
        {
            return Err(Self::broken("the connections lead to another server"));
        }
        // Measure even if locked rows stop the trim, so that the operator sees how the log grows.
        if measured.is_none() {
            let first = connection.first_from(0).await;
            measured = health.tolerate(first, ends_session)?.map(|first| first.map(|(_, at)| at));
        }
        if let Some(oldest) = measured {
            let age_of = |at| self.settings.clock.age_of(at);
            let mut log = self.options.log_stats(oldest.map_or(Duration::ZERO, age_of));
            health.stats().update(|stats| {
                log.bytes = stats.log.and_then(|log| log.bytes);
                stats.log = Some(log);
            });
        }
        if is_idle || self.state.trims % TRIMS_PER_SURVEY == 1 {
            health.tolerate(self.survey(connection).await, ends_session)?;
        }
        Ok(())
    }

    async fn skip(&mut self, session: &mut Opened, from: u64) -> Result<Option<Identity>, Error> {
        Ok(session.reading.first_from(from).await?.map(|(first, _)| first))
    }

    fn content(&mut self, row: LogRow) -> Content {
        self.state.rows += 1;
        let (number, age) = (row.number(), self.settings.clock.age_of(row.at));
        match row.kind {
            Kind::Event { topic, event, ends_topic } => {
                let arrival = Arrival::new(number, since_epoch(row.at), age).ends_topic(ends_topic);
                Content::Event { arrival, topic, event }
            }
            Kind::Loss => Content::Mark,
            Kind::Leap(_) => Content::Nothing,
            Kind::Foreign => Content::Unreadable,
        }
    }

    fn is_timeout(error: &Error) -> bool {
        error.kind() == ErrorKind::Unreachable
    }

    fn is_too_large(error: &Error) -> bool {
        is_too_large(error)
    }
}

impl LogEntry for LogRow {
    fn identity(&self) -> Identity {
        self.identity
    }

    fn previous(&self) -> Option<u64> {
        match self.kind {
            Kind::Leap(Some(previous)) => Some(previous),
            _ => self.number().checked_sub(1),
        }
    }
}

impl PostgresLog {
    fn interval(&self) -> Duration {
        let is_busy = self.state.is_unannounced
            || self.state.is_unwoken
            || self.state.found.is_some_and(|found| found.elapsed() < BUSY);
        let is_quiet = !is_busy && self.settings.health.stats().listens();
        jittered(if is_quiet { QUIET_INTERVAL } else { POLL_INTERVAL })
    }

    /// Trims the log and returns the time of its oldest row.
    async fn trim(&mut self, connection: &Connection) -> Result<Option<SystemTime>, Error> {
        let state = &mut self.state;
        state.trims = state.trims.wrapping_add(1);
        // Count only after enough new rows: counting passes nearly all rows of the log.
        let counts =
            state.counted.is_none_or(|rows| state.rows - rows >= self.options.max_events / 10);
        let rows = counts.then(|| signed(self.options.max_events));
        let trimmed = connection.trim(state.first, self.options.max_age, rows).await?;
        state.first = trimmed.first;
        if trimmed.has_more {
            state.next_trim = None;
        } else if counts {
            state.counted = Some(state.rows);
        }
        Ok(trimmed.oldest)
    }

    async fn survey(&self, connection: &Connection) -> Result<(), Error> {
        let surveyed = connection.survey().await?;
        let oldest_age = surveyed.since.map_or(Duration::ZERO, |at| self.settings.clock.age_of(at));
        self.settings.health.stats().update(|stats| {
            let waiting = stats.waiting.get_or_insert_default();
            (waiting.rows, waiting.oldest_age) = (surveyed.waiting, oldest_age);
            // Don't create `stats.log` here: without the ages, the oldest row would seem to be new.
            if let Some(log) = &mut stats.log {
                log.bytes = Some(surveyed.bytes);
            }
        });
        Ok(())
    }
}

/// Returns the pause after a poll, given the usual pause and the durations of this poll and the one
/// before. A single slow poll does not delay the next one.
fn pause(interval: Duration, took: Duration, last_took: Duration) -> Duration {
    let share = took.min(last_took).saturating_mul(POLL_SHARE);
    interval.max(share.min(MAX_PAUSE))
}

/// Returns a random time between 0.75 and 1.25 times `time`.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.75 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;

    #[test]
    fn pause_grows_after_several_slow_polls_up_to_a_second() {
        let [quick, slow, stuck] = [1, 50, 4000].map(Duration::from_millis);
        let usual = Duration::from_millis(100);
        for (took, last_took) in [(quick, quick), (stuck, quick), (quick, stuck)] {
            assert_eq!(pause(usual, took, last_took), usual, "{took:?} {last_took:?}");
        }
        for (took, last_took) in [(slow, slow), (slow, stuck), (stuck, slow)] {
            assert_eq!(pause(usual, took, last_took), slow * 10);
        }
        assert_eq!(pause(usual, stuck, stuck), Duration::from_secs(1));
    }
}
