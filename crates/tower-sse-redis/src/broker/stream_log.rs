//! Implements [`Log`] for the stream. The follower in `tower-sse-broker` calls its methods to
//! follow the stream and to find losses.

use std::pin::{Pin, pin};
use std::{sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, RedisError};
use tokio::time::{Instant, sleep};
use tokio::{select, task::JoinSet};
use tower_sse::hub::broker::Arrival;
use tower_sse_broker::__private::{Content, Identity, Known, Log, LogEntry, LogOptions, Page};

use super::entry::{Entry, MAX_CLIENT_LEAD, RawEntry, StreamId};
use super::redis_stream::{BLOCK_TIMEOUT, Clock, RedisStream, Survey};
use crate::server::server_info::{Eviction, Lineage, ServerInfo, set_evicting};
use crate::server::servers::{Connections, connection_name};
use crate::server::{route::Route, whole_milliseconds};
use crate::{Error, ErrorKind, Health};

/// The log of one hub: its Redis stream.
pub(crate) struct StreamLog {
    pub(crate) route: Arc<Route>,
    pub(crate) key: Arc<str>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) health: Health,
    pub(crate) options: LogOptions,
    /// The pause after each read that reaches the end of the stream.
    pub(crate) pause: Duration,
    pub(crate) state: LogState,
}

/// What the log knows besides its options.
#[derive(Default)]
pub(crate) struct LogState {
    /// The last entry that was read or skipped.
    last: StreamId,
    /// The server's lineage at the beginning of the last session in which this process caught up.
    lineage: Option<Lineage>,
    /// Whether reading the entry before the history has timed out. If so, later attempts read only
    /// the entry's id.
    is_slow: bool,
    /// The last millisecond from which this process has tried to advance the ids, because of a high
    /// counter.
    skipped_millisecond: u64,
    /// The run id of the last server for which a process advanced the ids, because they were ahead
    /// of the server's clock.
    advanced_server: String,
}

/// The stream's state, and whether Redis accepts writes.
type Surveyed = (Result<Option<Survey>, Error>, Result<(), Error>);

/// Two connections to one server: one for the reader, whose reads block, and one for publishers.
pub(crate) struct OpenedLog {
    reading: RedisStream,
    publishing: RedisStream,
    info: ServerInfo,
    checked: Option<Instant>,
    /// Whether the server has accepted writes in this session.
    accepts_writes: bool,
    /// The survey in progress. It also checks the publishers' connection, over which it runs. The
    /// reader does not wait for the survey, whose reply comes after those of earlier publications.
    surveying: JoinSet<Surveyed>,
    /// Completes once most Sentinels name another server.
    replaced: Pin<Box<dyn Future<Output = Error> + Send>>,
}

impl Log for StreamLog {
    type Session = OpenedLog;
    type Publishing = RedisStream;
    type Entry = RawEntry;

    const SERVER: &'static str = "Redis";
    /// No limit: each reply already has a time limit, which the program sets.
    const LATE: Duration = Duration::MAX;
    const SKIPS: bool = true;

    async fn open(&mut self, known: Known) -> Result<OpenedLog, Error> {
        self.route.begin();
        for _ in 0..2 {
            match self.connect(known, true).await {
                // Try the node that the error names, or another of the program's servers.
                Err(error) if self.route.follow(&error) => {}
                result => return result,
            }
        }
        // After two attempts, accept even a server that refuses writes.
        match self.connect(known, false).await {
            // Another node of the cluster names the node that has just refused writes.
            Err(error) if has_code(&error, "MOVED") && self.route.follow(&error) => {
                self.connect(known, false).await
            }
            result => result,
        }
    }

    async fn newest_before(
        &mut self,
        OpenedLog { reading, .. }: &mut OpenedLog,
        age: Duration,
    ) -> Result<Option<Identity>, Error> {
        let start = self.clock.now().saturating_sub(whole_milliseconds(age));
        let end = start.saturating_sub(1).to_string();
        if self.state.is_slow {
            let id = reading.first_id(["XREVRANGE", &end, "-"]).await?;
            return Ok(id.map(|id| Identity::unread(id.sequence())));
        }
        let newest = reading.entries(["XREVRANGE", &end, "-"], 1).await;
        let newest = newest.inspect_err(|error| self.state.is_slow = Self::is_timeout(error))?;
        Ok(newest.first().map(RawEntry::identity))
    }

    async fn read(
        &mut self,
        session: &mut OpenedLog,
        from: u64,
        count: usize,
    ) -> Result<Page<RawEntry>, Error> {
        let from = StreamId::of_sequence(from);
        // The previous session may have read up to `from` and ended before `look` recorded this.
        self.state.last = self.state.last.max(from);
        let entries = session.reading.entries(["XRANGE", &from.to_string(), "+"], count).await?;
        Ok(Page { has_more: entries.len() == count, entries })
    }

    async fn has_up_to(&mut self, session: &mut OpenedLog, number: u64) -> Result<bool, Error> {
        let last = StreamId::of_sequence(number).to_string();
        Ok(session.reading.first_id(["XRANGE", "-", &last]).await?.is_some())
    }

    async fn was_trimmed(&mut self, session: &mut OpenedLog) -> Result<bool, Error> {
        let Some(lineage) = &self.state.lineage else { return Ok(true) };
        let OpenedLog { reading, .. } = session;
        if *lineage != reading.ask_lineage().await? {
            return Ok(false);
        }
        // If the stream was deleted and began again with lower ids, only a marker shows this to
        // other processes. An entry at or after `last` rules this out, because ids rise. Look for
        // such an entry first: `skip_to` fails while Redis refuses writes.
        let last = self.state.last;
        let following = reading.first_id(["XRANGE", &last.to_string(), "+"]).await?;
        Ok(following.is_some() || reading.skip_to(last, "").await?)
    }

    async fn mark(
        &mut self,
        session: &mut OpenedLog,
        known: Known,
    ) -> Result<Option<Identity>, Error> {
        let [last, newest] = [known.last, known.newest].map(StreamId::of_sequence);
        session.reading.mark(Some(last), newest).await
    }

    /// Before this process publishes, advances the ids if they are ahead of the server's clock.
    ///
    /// After a rollback, other processes may know ids that this process does not. While Redis'
    /// clock is behind the newest id, Redis increments this id and would assign those ids again.
    /// Once the ids have been advanced for a server, they need not be again until it restarts.
    async fn publishing(
        &mut self,
        OpenedLog { reading, publishing, info, .. }: &mut OpenedLog,
        last: Identity,
    ) -> Result<RedisStream, Error> {
        let last = StreamId::of_sequence(last.number);
        if self.state.advanced_server != info.run_id && self.clock.is_behind(last.milliseconds) {
            // The estimate lags by the delay of the last reply. Ask again: the server reads the
            // time for this reply after it has assigned the id.
            reading.set_clock().await?;
            if self.clock.is_behind(last.milliseconds) {
                // If all processes were stopped during a restore, clients can have ids that no
                // process knows. Those that a hub accepts must be below the next event's.
                let near = last.milliseconds.saturating_sub(MAX_CLIENT_LEAD);
                let leaps = self.state.lineage.is_none() && self.clock.is_behind(near);
                let next = if leaps { last.leap() } else { last.step(self.clock.microseconds()) };
                reading.skip_to(next, &info.run_id).await?;
                self.state.advanced_server.clone_from(&info.run_id);
            }
        }
        self.state.last = last;
        self.state.lineage = Some(info.lineage.clone());
        Ok(publishing.clone())
    }

    async fn wait(&mut self, _: &mut OpenedLog) -> Result<(), Error> {
        if !self.pause.is_zero() {
            sleep(self.pause).await;
        }
        Ok(())
    }

    async fn look(
        &mut self,
        session: &mut OpenedLog,
        last: Identity,
        count: usize,
    ) -> Result<Option<Vec<RawEntry>>, Error> {
        self.state.last = StreamId::of_sequence(last.number);
        let OpenedLog { reading, accepts_writes, surveying, replaced, .. } = session;
        let mut waiting = pin!(reading.wait_after(last, count));
        loop {
            select! {
                biased;
                looked = &mut waiting => return looked,
                Some(Ok(surveyed)) = surveying.join_next() => self.record(surveyed, accepts_writes)?,
                error = replaced.as_mut() => return Err(error),
            }
        }
    }

    async fn upkeep(
        &mut self,
        OpenedLog { reading, publishing, checked, surveying, .. }: &mut OpenedLog,
        last: Identity,
    ) -> Result<(), Error> {
        let (id, is_first) = (StreamId::of_sequence(last.number), checked.is_none());
        if id.has_high_counter() && self.state.skipped_millisecond < id.milliseconds {
            self.state.skipped_millisecond = id.milliseconds;
            // Ignore an error: every process that reads an entry with a high counter tries to skip.
            _ = reading.skip_to(StreamId::at(id.milliseconds.saturating_add(1)), "").await;
        }
        if checked.is_some_and(|checked| checked.elapsed() < BLOCK_TIMEOUT) {
            return Ok(());
        }
        *checked = Some(Instant::now());
        if surveying.is_empty() {
            // If the last survey has returned no memory, don't ask for it again: the user may lack
            // permission for `MEMORY USAGE`.
            let asks_memory =
                is_first || self.health.stats().log().is_none_or(|log| log.bytes.is_some());
            let (mut publishing, max_age) = (publishing.clone(), self.options.max_age);
            surveying.spawn(async move {
                let survey = publishing.survey(max_age, asks_memory).await;
                // Without a reply, the session ends: don't wait for another one.
                let is_dead = survey.as_ref().is_err_and(ends_session);
                (survey, if is_dead { Ok(()) } else { publishing.check_writes().await })
            });
        }
        // The server's clock may have been set to another time.
        reading.set_clock().await
    }

    async fn skip(
        &mut self,
        session: &mut OpenedLog,
        from: u64,
    ) -> Result<Option<Identity>, Error> {
        let from = StreamId::of_sequence(from).to_string();
        let id = session.reading.first_id(["XRANGE", &from, "+"]).await?;
        let Some(id) = id else { return Ok(None) };
        session.reading.skip_to(id.step(self.clock.microseconds()), "").await?;
        Ok(Some(Identity::unread(id.sequence())))
    }

    fn content(&mut self, RawEntry { id, fields }: RawEntry) -> Content {
        match Entry::decode(fields) {
            Entry::Event { topic, event, ends_topic } => {
                let age = self.clock.age_of(id.milliseconds);
                let arrival = Arrival::new(id.sequence(), id.time(), age).ends_topic(ends_topic);
                return Content::Event { arrival, topic, event };
            }
            Entry::Gap => return Content::Mark,
            Entry::Skip { server } if !server.is_empty() => self.state.advanced_server = server,
            Entry::Skip { .. } => {}
            Entry::Foreign => self.health.stats().update(|stats| stats.foreign_entries += 1),
        }
        Content::Nothing
    }

    fn is_timeout(error: &Error) -> bool {
        error.cause().is_some_and(RedisError::is_timeout)
    }
}

impl LogEntry for RawEntry {
    fn number(&self) -> u64 {
        self.id.sequence()
    }

    fn identity(&self) -> Identity {
        RawEntry::identity(self)
    }

    fn bytes(&self) -> usize {
        self.fields.iter().map(Vec::len).sum()
    }
}

impl StreamLog {
    /// Connects and, if the stream is empty, adds a marker: if an event re-created a lost stream,
    /// the loss would go unnoticed. With `must_write`, returns an error if this server refuses
    /// writes and another server may accept them.
    async fn connect(&mut self, known: Known, must_write: bool) -> Result<OpenedLog, Error> {
        let timeout = self.route.servers.timeout;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout));
        let name = connection_name(&self.key);
        let Connections { connections, info } = self.route.connect(&config, &name).await?;
        set_evicting(&self.health, info.eviction == Eviction::All);
        let (key, clock) = (&self.key, &self.clock);
        let [mut reading, mut publishing] = connections.map(|connection| RedisStream {
            connection,
            key: Arc::clone(key),
            clock: Arc::clone(clock),
        });
        // Even if publishers may wait longer, the reader must soon notice a dead connection.
        let reply_timeout = timeout.max(self.options.publish_deadline);
        publishing.connection.set_response_timeout(reply_timeout);
        reading.set_clock().await?;
        let accepts_writes = must_write && self.route.has_others();
        if accepts_writes {
            reading.check_writes().await?;
        }
        if known.last == 0 {
            reading.probe().await?;
        }
        reading.mark(None, StreamId::of_sequence(known.newest)).await?;
        let (surveying, route) = (JoinSet::new(), Arc::clone(&self.route));
        let replaced = Box::pin(async move { route.replaced().await });
        let checked = None;
        Ok(OpenedLog { reading, publishing, info, checked, accepts_writes, surveying, replaced })
    }

    /// Records the state of the stream after a survey and whether Redis refuses writes. Also
    /// records an error that Redis replied, and returns any other error. Also returns an error if
    /// the server was a primary in this session and has become a replica: Redis then ends only
    /// reads that wait for an entry.
    fn record(&self, (survey, writes): Surveyed, accepts_writes: &mut bool) -> Result<(), Error> {
        let is_replica = writes.as_ref().is_err_and(|error| has_code(error, "READONLY"));
        let is_demoted = *accepts_writes && is_replica;
        *accepts_writes |= writes.is_ok();
        let is_refused = writes.as_ref().is_err_and(|error| error.kind() == ErrorKind::ReadOnly);
        self.health.set_ready(!is_refused);
        if let Ok(Some((events, oldest, bytes))) = survey {
            let mut log = self.options.log_stats(self.clock.age_of(oldest.milliseconds));
            (log.events, log.bytes) = (Some(events), bytes);
            self.health.stats().update(|stats| stats.log = Some(log));
        }
        let result = match writes {
            Err(error) if is_demoted => return Err(error),
            Err(error) if ends_session(&error) => Err(error),
            writes => survey.and(writes),
        };
        self.health.tolerate(result, ends_session).map(drop)
    }
}

/// Returns whether a command got no reply. An error reply, such as a refusal of writes or of
/// `XTRIM`, doesn't end the session.
fn ends_session(error: &Error) -> bool {
    error.cause::<RedisError>().is_none_or(|error| error.code().is_none())
}

fn has_code(error: &Error, code: &str) -> bool {
    error.cause::<RedisError>().is_some_and(|error| error.code() == Some(code))
}
