use std::{
    convert::Infallible,
    future::pending,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    select,
    time::{Instant, sleep, sleep_until, timeout},
};
use tower_sse::hub::broker::support::Backoff;

use super::{
    reader::Reader,
    upkeep::{Upkeep, jittered},
};
use crate::{
    Error, ErrorKind, PostgresHealth,
    connection::{Connection, Opened},
    publisher::{Queue, Session},
};

const ACTION: &str = "follow the log in PostgreSQL";
/// The time between two polls, give or take a quarter.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// If polls are slow, the pause between them is this many times as long as a poll.
const POLL_SHARE: u32 = 10;
/// The maximum pause between polls that are slow.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// A hub that does not reach the end of the log within this time is not ready until it does.
const LATE: Duration = Duration::from_secs(1);
/// One poll in this many looks at the whole inbox, in case `Settings::covered` has passed rows that
/// are not numbered.
const FULL_POLL: u32 = 50;

/// A task that follows the log until the hub is closed or dropped, and reconnects when a connection
/// breaks.
pub(crate) struct Follower {
    pub(crate) reader: Reader,
    pub(crate) queue: Arc<Queue>,
    pub(crate) upkeep: Upkeep,
}

impl Drop for Follower {
    /// Shuts the gate when the hub is closed or dropped.
    fn drop(&mut self) {
        self.reader.gate.retire();
        self.reader.settings.health.set_ready(false);
    }
}

impl Follower {
    /// Loads the history, calls `loaded`, and follows the log until this future is dropped.
    pub(crate) async fn run(mut self, loaded: impl FnOnce(Result<(), Error>)) -> Infallible {
        let (mut reading, mut session) = match self.load().await {
            Ok(opened) => {
                loaded(Ok(()));
                opened
            }
            Err(error) => {
                self.reader.settings.health.set_error(&error);
                loaded(Err(error));
                // The hub is dropped now, and this future with it.
                pending().await
            }
        };
        let mut backoff = Backoff::up_to(Duration::MAX);
        loop {
            let opened = Instant::now();
            let Err(error) = self.follow(&reading, &session).await;
            warn!(error = %error.with_sources(), "connection to PostgreSQL lost");
            self.end_session(&error);
            backoff.end_session(opened.elapsed());
            (reading, session) = loop {
                sleep(backoff.next_delay()).await;
                match self.open().await {
                    Ok(opened) => break opened,
                    Err(error) => {
                        debug!(error = %error.with_sources(), "failed to reconnect to PostgreSQL");
                        self.end_session(&error);
                    }
                }
            };
            self.reader.settings.health.count_reconnection();
        }
    }

    /// Opens the first session, with smaller pages if the link is too slow for them.
    async fn load(&mut self) -> Result<(Connection, Session), Error> {
        loop {
            match self.open().await {
                Err(error)
                    if error.kind() == ErrorKind::Unreachable
                        && self.reader.rows > 0
                        && self.reader.page_size.entries() > 1 =>
                {
                    self.reader.page_size.halve();
                }
                result => return result,
            }
        }
    }

    /// Opens a session: connects, catches up, marks losses, and opens the gate to publishers.
    async fn open(&mut self) -> Result<(Connection, Session), Error> {
        let Opened { reading, publishing } = Opened::connect(&self.reader.settings).await?;
        // This adds a mark if the log is empty, or is another one than before.
        let situation = self.reader.situation(true);
        publishing.append(0, situation, &[]).await?;
        if self.reader.last.number == 0 {
            self.reader.find_history(&reading).await?;
        }
        self.reader.catch_up(&reading).await?;
        self.reader.mark_losses(&reading, &publishing).await?;
        self.reader.is_loaded = true;
        self.reader.settings.covered.store(0, Relaxed);
        self.upkeep.reset();
        let session = self.reader.gate.open(publishing);
        self.reader.settings.health.set_ready(true);
        debug!(last = self.reader.last.number, "following the log in PostgreSQL");
        Ok((reading, session))
    }

    /// Shuts the gate after a break or a failed attempt, and prepares the next attempt.
    fn end_session(&mut self, error: &Error) {
        self.reader.gate.shut();
        self.reader.page_size.halve();
        self.reader.settings.health.set_ready(false);
        self.reader.settings.health.set_error(error);
    }

    /// Follows the log until an error occurs.
    async fn follow(
        &mut self,
        reading: &Connection,
        session: &Session,
    ) -> Result<Infallible, Error> {
        let broken = |reason: &str| Err(Error::with_kind(ACTION, ErrorKind::Unreachable, reason));
        let wakes = self.reader.settings.wakes.clone();
        let health = self.reader.settings.health.clone();
        let (mut next_poll, mut last_took) = (Instant::now(), Duration::ZERO);
        let mut polls = 0_u32;
        loop {
            let is_due = select! {
                biased;
                () = reading.ended.cancelled() => return broken("the reader's connection has ended"),
                () = session.connection.ended.cancelled() => {
                    return broken("the publishers' connection has ended");
                }
                () = session.ended.cancelled() => return broken("the session has ended"),
                () = wakes.inbox.notified() => true,
                () = wakes.log.notified() => Instant::now() >= next_poll,
                () = sleep_until(next_poll) => true,
            };
            polls = polls.wrapping_add(is_due.into());
            let is_full = is_due.then(|| polls.is_multiple_of(FULL_POLL));
            let polled = watched(&health, self.look(reading, session, is_full)).await?;
            if let Some(took) = polled {
                next_poll = Instant::now() + pause(took, last_took);
                last_took = took;
            }
        }
    }

    /// Reads what is new, and trims the log if that is due. Polls if `is_full` is set, and then
    /// returns the time that polling took.
    async fn look(
        &mut self,
        reading: &Connection,
        session: &Session,
        is_full: Option<bool>,
    ) -> Result<Option<Duration>, Error> {
        let polled = match is_full {
            Some(is_full) => Some(self.poll(reading, is_full).await?),
            None => {
                self.reader.catch_up(reading).await?;
                None
            }
        };
        if self.reader.has_lost() {
            // The next session marks the losses. The server may be a standby now, so each
            // attempt to mark them needs a new session. The backoff limits the attempts.
            let missing = "an acknowledged row is missing";
            return Err(Error::new("read the log in PostgreSQL", missing));
        }
        // Use the publishers' connection, to find out whether a proxy has closed it while
        // nothing was published.
        self.upkeep.run(&self.reader, &session.connection).await?;
        Ok(polled)
    }

    /// Looks for new rows, and reads them. Returns the time that looking took.
    async fn poll(&mut self, reading: &Connection, is_full: bool) -> Result<Duration, Error> {
        if is_full {
            self.reader.settings.covered.store(0, Relaxed);
        }
        let read = self.reader.gate.ledger().begin_read();
        let asked = Instant::now();
        let polled = reading.poll(self.reader.settings.covered.load(Relaxed)).await?;
        let took = asked.elapsed();
        if polled.waits {
            self.queue.number_inbox();
        }
        if polled.newest == Some(self.reader.last) {
            self.reader.gate.ledger().finish_read(read);
        } else {
            self.reader.catch_up(reading).await?;
        }
        Ok(took)
    }
}

/// Awaits a look at the log. While it takes too long, the hub is not ready.
async fn watched<T>(
    health: &PostgresHealth,
    look: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut look = pin!(look);
    if let Ok(looked) = timeout(LATE, &mut look).await {
        return looked;
    }
    let late = format!("not at the end of the log within {LATE:?}");
    health.set_error(&Error::with_kind(ACTION, ErrorKind::Unreachable, late));
    health.set_ready(false);
    let looked = look.await?;
    health.set_ready(true);
    Ok(looked)
}

/// Returns the pause after a poll, from the times that it and the one before it took. A single slow
/// poll does not delay the next one.
fn pause(took: Duration, last_took: Duration) -> Duration {
    let share = took.min(last_took).saturating_mul(POLL_SHARE);
    jittered(POLL_INTERVAL).max(share.min(MAX_PAUSE))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;

    #[test]
    fn pause_grows_after_several_slow_polls_up_to_a_second() {
        let [quick, slow, stuck] = [1, 50, 4000].map(Duration::from_millis);
        let usual = Duration::from_millis(75)..=Duration::from_millis(125);
        for (took, last_took) in [(quick, quick), (stuck, quick), (quick, stuck)] {
            let pause = pause(took, last_took);
            assert!(usual.contains(&pause), "{took:?} {last_took:?} {pause:?}");
        }
        for (took, last_took) in [(slow, slow), (slow, stuck), (stuck, slow)] {
            assert_eq!(pause(took, last_took), slow * 10);
        }
        assert_eq!(pause(stuck, stuck), Duration::from_secs(1));
    }
}
