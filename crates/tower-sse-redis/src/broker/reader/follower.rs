use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tower_sse::hub::broker::support::Backoff;

use super::reader::Reader;
use crate::{
    Error, RedisHealth,
    broker::{
        connector::Connector,
        publisher::Session,
        stats::StreamStats,
        stream::{BLOCK_TIMEOUT, RedisStream},
    },
    server::{
        credentials::Renewal,
        health::display_with_sources,
        keeper::{Sessions, keep},
        server_info::Eviction,
        servers::Connections,
    },
};

/// A task that follows the stream until the hub is closed or dropped, and reconnects when a
/// connection breaks.
pub(crate) struct Follower {
    pub(crate) connector: Connector,
    pub(crate) reader: Reader,
    pub(crate) health: RedisHealth,
    pub(crate) max_len: usize,
    /// The age after which entries are removed.
    pub(crate) max_age: Option<Duration>,
    /// The pause after each read to the end of the stream.
    pub(crate) pause: Duration,
    /// Keeps the credentials of the current session valid.
    pub(crate) renewal: Option<Renewal>,
}

impl Sessions for Follower {
    type Session = Opened;

    async fn broken(&mut self, (reading, session): &mut Opened) -> Error {
        let error = self.follow_session(reading, session).await;
        self.end_session(&error);
        error
    }

    async fn open(&mut self) -> Result<Opened, Error> {
        self.reconnect().await.inspect_err(|error| self.end_session(error))
    }
}

impl Drop for Follower {
    /// Shuts the gate when the hub is closed or dropped.
    fn drop(&mut self) {
        self.reader.gate.retire();
        self.health.set_ready(false);
    }
}

/// The reader's connection and the publishers' session.
type Opened = (RedisStream, Session);

impl Follower {
    /// Connects, and loads the history.
    async fn load(&mut self) -> Result<Opened, Error> {
        loop {
            let [mut reading, publishing] = self.connect().await?;
            match self.reader.load(&mut reading).await {
                Ok(()) => {
                    self.reader.is_loaded = true;
                    return self.resume(reading, publishing).await;
                }
                // A program that tried again would start from the beginning, and fail at the same
                // page.
                Err(error) if self.reader.can_try_again(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Loads the history, calls `loaded`, and follows the stream until this future is dropped.
    pub(crate) async fn run(mut self, loaded: impl FnOnce(Result<(), Error>)) {
        let opened = match self.load().await {
            // The error of a cluster names the server that has the stream.
            Err(error) if self.connector.follow_redirect(&error) => self.load().await,
            result => result,
        };
        match opened {
            Ok(opened) => {
                loaded(Ok(()));
                let (health, backoff) = (self.health.clone(), Backoff::up_to(Duration::MAX));
                keep(&mut self, opened, &health, backoff).await;
            }
            Err(error) => {
                self.health.set_error(&error);
                loaded(Err(error));
                // The hub is dropped now, and this future with it.
                pending::<()>().await;
            }
        }
    }

    /// Shuts the gate after a break or a failed attempt, and prepares the next attempt.
    fn end_session(&mut self, error: &Error) {
        self.reader.gate.shut();
        self.renewal = None;
        self.reader.page_size.halve();
        self.health.set_ready(false);
        self.connector.follow_redirect(error);
    }

    /// Connects, and catches up.
    async fn reconnect(&mut self) -> Result<Opened, Error> {
        let [mut reading, publishing] = self.connect().await?;
        self.reader.catch_up(&mut reading).await?;
        self.resume(reading, publishing).await
    }

    /// Opens the connections of a session, and warns about the server's settings.
    async fn connect(&mut self) -> Result<[RedisStream; 2], Error> {
        let Connections { connections, info, renewal } = self.connector.connect().await?;
        self.renewal = renewal;
        self.health.set_evicting(info.eviction == Eviction::All);
        Ok(connections)
    }

    /// Marks losses, advances the ids, and opens the gate to publishers.
    async fn resume(
        &mut self,
        mut reading: RedisStream,
        publishing: RedisStream,
    ) -> Result<Opened, Error> {
        self.reader.mark_losses(&mut reading).await?;
        self.reader.advance_ids(&mut reading).await?;
        let session = self.open_gate(publishing);
        Ok((reading, session))
    }

    /// Opens the gate to publishers, over this connection.
    fn open_gate(&mut self, publishing: RedisStream) -> Session {
        self.reader.lineage = Some(Arc::clone(&publishing.lineage));
        let session = self.reader.gate.open(publishing);
        self.health.set_ready(true);
        debug!(last = %self.reader.last.id, "following the Redis stream");
        session
    }

    /// Follows the stream until one of the connections breaks.
    async fn follow_session(&mut self, reading: &mut RedisStream, session: &mut Session) -> Error {
        let ended = session.ended.clone();
        let until_break = self.read_until_break(reading, &mut session.connection);
        match ended.run_until_cancelled(until_break).await {
            Some(Err(error)) => error,
            None => Error::new("publish to Redis", "the connection for publishing is unusable"),
        }
    }

    /// Reads until an error occurs.
    async fn read_until_break(
        &mut self,
        reading: &mut RedisStream,
        publishing: &mut RedisStream,
    ) -> Result<Infallible, Error> {
        let mut checked = Instant::now();
        self.survey(publishing).await?;
        loop {
            self.read_next(reading).await?;
            // Check the publishers' connection too: a proxy may have closed it while it was idle.
            // The server's clock may have been set.
            if checked.elapsed() >= BLOCK_TIMEOUT {
                publishing.set_clock().await?;
                self.survey(publishing).await?;
                checked = Instant::now();
            }
            if !self.pause.is_zero() {
                sleep(self.pause).await;
            }
        }
    }

    /// Trims the stream by time, and records its state.
    async fn survey(&mut self, stream: &mut RedisStream) -> Result<(), Error> {
        let known = self.reader.stats.stream();
        // If the server did not report the memory last time, the user lacks the permission to ask
        // for it.
        let asks_memory = known.is_none_or(|stats| stats.memory.is_some());
        let surveyed = match stream.survey(self.max_age, asks_memory).await {
            Ok(surveyed) => surveyed,
            // The server accepts no writes at present, or the user may not trim.
            Err(error) if error.client_error().is_some_and(|error| error.code().is_some()) => {
                self.health.set_error(&error);
                debug!(error = %display_with_sources(&error), "failed to survey the Redis stream");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let Some((entries, oldest, memory)) = surveyed {
            self.reader.stats.set_stream(StreamStats {
                entries,
                max_len: self.max_len as u64,
                oldest_age: stream.clock.age_of(oldest.milliseconds),
                retention_age: self.reader.feed.max_age(),
                memory,
            });
        }
        Ok(())
    }

    async fn read_next(&mut self, reading: &mut RedisStream) -> Result<(), Error> {
        let read = self.reader.gate.ledger().begin_read();
        let count = self.reader.page_size.entries();
        if let Some(entries) = reading.wait_after(self.reader.last, count).await? {
            let is_full = entries.len() == count;
            self.reader.feed_entries(reading, entries).await;
            if is_full {
                // The duration of this read says nothing about the link, because it includes the
                // wait for an entry.
                self.reader.page_size.grow();
                self.reader.catch_up(reading).await?;
            } else {
                self.reader.gate.ledger().finish_read(read);
            }
        } else {
            // Asked before the reading, so that a replacement during it still shows.
            let lineage = reading.ask_lineage().await?;
            self.reader.catch_up(reading).await?;
            self.reader.mark_losses(reading).await?;
            self.reader.lineage = Some(Arc::new(lineage));
        }
        if self.reader.gate.ledger().has_lost() {
            // The next session marks the losses. The server may be a replica now, so each attempt
            // to mark them needs a new session. The backoff limits the attempts.
            let missing = "an acknowledged entry is missing";
            return Err(Error::new("read the Redis stream", missing));
        }
        Ok(())
    }
}
