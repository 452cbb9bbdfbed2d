use std::{sync::Arc, time::Duration};
use std::{sync::atomic::AtomicU64, sync::atomic::Ordering::Relaxed};

use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Value, cmd, from_redis_value};
use tokio::time::Instant;
use tower_sse_broker::__private::Identity;

use super::entry::{GAP, NONCE, RawEntry, SKIP, STEP, StreamId, fingerprint};
use crate::Error;
use crate::server::server_info::{LINEAGE_SECTIONS, Lineage};
use crate::server::{MultiplexedConnection, failed, whole_milliseconds};

/// How long Redis waits for a new entry before it replies that there is none.
pub(crate) const BLOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// A script that adds a marker. Given `empty`, the script adds the marker only to a stream without
/// entries. Given an entry's id, it does so only if none of the next 1,000 entries is a marker.
///
/// The marker's id must be above the ids of all entries that may have been lost, even entries that
/// this process does not know. So the id is in the next millisecond of the server's clock, with a
/// counter computed from the clock's microseconds. If ids are ahead of the clock, the id is a
/// [step](StreamId::step) after the newest one that this process knows. If the stream already has
/// this id or a higher one, Redis assigns the next id.
pub(crate) const MARK: &str = include_str!("lua/mark.lua");

/// A script that removes entries that are too old. Returns how many are left, the id of the oldest
/// one, and the stream's memory in bytes.
///
/// The script keeps the newest entry that is too old: a reader that has read only old entries
/// continues after it, and an empty stream would look lost. The memory is missing if the caller
/// doesn't ask for it or the user may not run `MEMORY USAGE`. Without an age limit, the script
/// writes nothing, so it also runs while the server refuses writes.
const SURVEY: &str = include_str!("lua/survey.lua");

/// A script that does nothing. Because its first line doesn't say `no-writes`, Redis refuses the
/// script whenever Redis refuses all writes. If the memory is full, Redis refuses only some writes,
/// and runs the script because of `allow-oom`.
const WRITE: &str = "#!lua flags=allow-oom\nreturn 1";

/// A script that returns the id of a range's first entry, without the entry's fields: the
/// connection may be too slow for these.
const FIRST_ID: &str = include_str!("lua/first_id.lua");

/// A stream's number of entries, the id of the oldest entry, and the memory in bytes if known.
pub(crate) type Survey = (u64, StreamId, Option<u64>);

/// The Redis stream of one hub, over one connection.
#[derive(Clone)]
pub(crate) struct RedisStream {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) key: Arc<str>,
    pub(crate) clock: Arc<Clock>,
}

impl RedisStream {
    pub(crate) async fn set_clock(&mut self) -> Result<(), Error> {
        const ACTION: &str = "get the time from Redis";
        let (seconds, microseconds): (u64, u64) = self.query(&cmd("TIME"), ACTION).await?;
        self.clock.set(seconds.saturating_mul(1000).saturating_add(microseconds / 1000));
        Ok(())
    }

    /// Tries reading commands that this process needs later or only in scripts. Their errors name
    /// the command that Redis refuses; a script's error may not.
    pub(crate) async fn probe(&mut self) -> Result<(), Error> {
        const ACTION: &str = "try the commands that hubs need";
        let mut pipeline = redis::pipe();
        pipeline.cmd("XLEN").arg(&*self.key);
        pipeline.cmd("XREVRANGE").arg(&*self.key).arg(0).arg(0).arg("COUNT").arg(1);
        // No entry can follow the highest id, so this waits for its time limit, a millisecond.
        pipeline.cmd("XREAD").arg("COUNT").arg(1).arg("BLOCK").arg(1);
        pipeline.arg("STREAMS").arg(&*self.key).arg(StreamId::MAX.to_string());
        let replies = self.connection.send_packed_commands(&pipeline, 0, 3).await;
        let replies = replies.map_err(|error| self.error(ACTION, error))?;
        replies.into_iter().zip(pipeline.cmd_iter()).try_for_each(|(reply, command)| {
            reply.extract_error().map(drop).map_err(|error| self.refused(ACTION, command, error))
        })
    }

    pub(crate) async fn ask_lineage(&mut self) -> Result<Lineage, Error> {
        const ACTION: &str = "get the lineage of the Redis stream";
        self.query(cmd("INFO").arg(&LINEAGE_SECTIONS), ACTION).await
    }

    /// Returns the id of the first entry of a range, such as `["XRANGE", from, to]`, without
    /// reading the entry.
    pub(crate) async fn first_id(&mut self, range: [&str; 3]) -> Result<Option<StreamId>, Error> {
        const ACTION: &str = "find an entry of the Redis stream";
        let command = cmd("EVAL").arg(FIRST_ID).arg(1).arg(&*self.key).arg(&range).take();
        let id: Option<StreamId> = self.query(&command, ACTION).await?;
        id.map_or(Ok(()), |id| self.check_range(id, ACTION)).map(|()| id)
    }

    /// Returns up to `count` entries of a range, such as `["XRANGE", from, to]`.
    pub(crate) async fn entries(
        &mut self,
        [command, from, to]: [&str; 3],
        count: usize,
    ) -> Result<Vec<RawEntry>, Error> {
        const ACTION: &str = "read the Redis stream";
        let mut command = cmd(command);
        command.arg(&*self.key).arg(from).arg(to).arg("COUNT").arg(count);
        let entries = self.query(&command, ACTION).await?;
        self.in_range(entries, ACTION)
    }

    /// Waits up to [`BLOCK_TIMEOUT`] for entries after `last`. Returns up to `count` of them, or
    /// `None` if the stream no longer has `last`: entries after it may then be missing too.
    pub(crate) async fn wait_after(
        &mut self,
        last: Identity,
        count: usize,
    ) -> Result<Option<Vec<RawEntry>>, Error> {
        const ACTION: &str = "wait for entries in the Redis stream";
        let mut pipeline = redis::pipe();
        pipeline.cmd("XREAD").arg("COUNT").arg(count).arg("BLOCK");
        pipeline.arg(BLOCK_TIMEOUT.as_millis() as u64);
        let id = StreamId::of_sequence(last.number).to_string();
        pipeline.arg("STREAMS").arg(&*self.key).arg(&id);
        // Redis runs this after the wait. `XREAD` alone would silently skip trimmed entries.
        pipeline.cmd("XRANGE").arg(&*self.key).arg(&id).arg(&id);
        let replies = self.connection.send_packed_commands(&pipeline, 0, 2).await;
        let replies = replies.and_then(|replies| Value::Array(replies).extract_error());
        let (streams, remaining): (Vec<(Value, _)>, Vec<RawEntry>) = self.parse(replies, ACTION)?;
        if remaining.first().is_none_or(|entry| entry.identity() != last) {
            return Ok(None);
        }
        let entries = streams.into_iter().next().map_or_else(Vec::new, |(_key, entries)| entries);
        self.in_range(entries, ACTION).map(Some)
    }

    /// Adds a marker of a loss with [`MARK`], unless a marker follows the entry `read`. If `read`
    /// is `None`, adds the marker only to an empty stream. `newest` is the newest entry that this
    /// process knows. Returns the marker if it was added.
    pub(crate) async fn mark(
        &mut self,
        read: Option<StreamId>,
        newest: StreamId,
    ) -> Result<Option<Identity>, Error> {
        const ACTION: &str = "mark a loss in the Redis stream";
        let newest =
            self.first_id(["XREVRANGE", "+", "-"]).await?.map_or(newest, |id| id.max(newest));
        let nonce = nonce();
        let mut command = cmd("EVAL");
        command.arg(MARK).arg(1).arg(&*self.key);
        command.arg(read.map_or_else(|| "empty".to_owned(), |id| id.to_string()));
        command.arg(newest.milliseconds).arg(newest.counter).arg(STEP).arg(&nonce);
        let Some(id) = self.query(&command, ACTION).await? else { return Ok(None) };
        self.check_range(id, ACTION)?;
        Ok(Some(Identity { number: id.sequence(), fingerprint: fingerprint([GAP, &nonce]) }))
    }

    /// Adds an [`Entry::Skip`](super::entry::Entry::Skip) with this id and returns `false`. If the
    /// stream has already assigned this id or a higher one, adds nothing and returns `true`. If the
    /// stream is missing, adds nothing and returns `false`.
    pub(crate) async fn skip_to(&mut self, id: StreamId, server: &str) -> Result<bool, Error> {
        let mut command = cmd("XADD");
        command.arg(&*self.key).arg("NOMKSTREAM").arg(id.to_string());
        command.arg(SKIP).arg(server).arg(NONCE).arg(nonce());
        let detail = |error: &Error| error.cause::<RedisError>()?.detail().map(str::to_owned);
        match self.query::<Value>(&command, "advance the ids of the Redis stream").await {
            Err(error) if detail(&error).is_some_and(|text| text.contains("equal or smaller")) => {
                Ok(true)
            }
            result => result.map(|_| false),
        }
    }

    /// Removes entries older than `max_age` with [`SURVEY`]. Returns the stream's state, or `None`
    /// if it has no entries.
    pub(crate) async fn survey(
        &mut self,
        max_age: Option<Duration>,
        asks_memory: bool,
    ) -> Result<Option<Survey>, Error> {
        const ACTION: &str = "survey the Redis stream";
        let mut command = cmd("EVAL");
        command.arg(SURVEY).arg(1).arg(&*self.key);
        // The script takes 0 for no limit.
        let max_age = max_age.map_or(0, |age| whole_milliseconds(age).max(1));
        command.arg(max_age).arg(u8::from(asks_memory));
        self.query(&command, ACTION).await
    }

    /// Returns an error if Redis refuses all writes. Writes nothing itself.
    pub(crate) async fn check_writes(&mut self) -> Result<(), Error> {
        self.query(cmd("EVAL").arg(WRITE).arg(1).arg(&*self.key), "write to Redis").await
    }

    async fn query<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
        action: &'static str,
    ) -> Result<T, Error> {
        let reply = self.connection.send_packed_command(command).await;
        let reply = reply.and_then(Value::extract_error);
        let reply = reply.map_err(|error| self.refused(action, command, error))?;
        self.parse(Ok(reply), action)
    }

    /// Returns the error for a command. Some servers, such as Garnet, don't name the command that
    /// they don't know.
    fn refused(&self, action: &'static str, command: &Cmd, error: RedisError) -> Error {
        let detail = error.detail().unwrap_or_default();
        let Some(redis::Arg::Simple(name)) = command.args_iter().next() else {
            return self.error(action, error);
        };
        let name = String::from_utf8_lossy(name);
        if detail.contains("unknown command") && !detail.contains(&*name) {
            return failed(action, format!("the server doesn't know {name}: {error}"));
        }
        self.error(action, error)
    }

    fn parse<T: FromRedisValue>(
        &self,
        reply: RedisResult<Value>,
        action: &'static str,
    ) -> Result<T, Error> {
        let reply = reply.map_err(|error| self.error(action, error))?;
        from_redis_value(reply).map_err(|error| failed(action, error))
    }

    /// Returns the entries, or an error if an id is out of range.
    fn in_range(
        &self,
        entries: Vec<RawEntry>,
        action: &'static str,
    ) -> Result<Vec<RawEntry>, Error> {
        entries.iter().try_for_each(|entry| self.check_range(entry.id, action))?;
        Ok(entries)
    }

    /// Parses the reply to a command that adds an event: the entry's id, or `None` if the
    /// stream is missing and nothing was added.
    pub(crate) fn parse_added(&self, reply: Value) -> Result<Option<StreamId>, Error> {
        const ACTION: &str = "add an entry to the Redis stream";
        let id: Option<StreamId> = self.parse(Ok(reply), ACTION)?;
        id.map_or(Ok(()), |id| self.check_range(id, ACTION)).map(|()| id)
    }

    fn check_range(&self, id: StreamId, action: &'static str) -> Result<(), Error> {
        if id.is_in_range(self.clock.now()) {
            Ok(())
        } else {
            Err(failed(action, self.out_of_range(id)))
        }
    }

    /// Returns the error for a command that Redis did not execute or did not answer.
    pub(crate) fn error(&self, action: &'static str, error: RedisError) -> Error {
        // The stream has the highest possible id, so Redis can assign no higher one.
        if error.detail().is_some_and(|detail| detail.contains("exhausted the last possible ID")) {
            failed(action, self.out_of_range(StreamId::MAX))
        } else {
            failed(action, error)
        }
    }

    /// Returns the error text for an id out of range, which stops all reading and publishing.
    fn out_of_range(&self, id: StreamId) -> String {
        let key = &self.key;
        format!(
            "the id of entry {id} of stream `{key}` is out of range: delete the stream with \
             `DEL {key}`; Redis 7.0, but not its successors, also accepts `XDEL {key} {id}` and \
             then `XSETID {key} <last id>`, where <last id> is that of the last remaining entry"
        )
    }
}

/// Returns a random text that makes a marker or a `skip` entry differ from all other entries.
///
/// In two copies of a stream, or in a lost stream and its successor, such entries can have the same
/// id. A process that has read such an entry in one stream must not take the entry with the same id
/// in the other stream for the one that it has read.
fn nonce() -> String {
    fastrand::u64(..).to_string()
}

/// The precision of the estimated time in milliseconds, not counting the delay of replies.
const PRECISION: u64 = 10;

/// An estimate of the Redis server's clock, from which the ids of entries take their time.
#[derive(Debug)]
pub(crate) struct Clock {
    created: Instant,
    /// The server's time in milliseconds when this clock was created.
    origin: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { created: Instant::now(), origin: AtomicU64::new(0) }
    }

    /// Sets the clock to the time that the server has just reported.
    pub(crate) fn set(&self, milliseconds: u64) {
        self.origin.store(milliseconds.saturating_sub(self.elapsed()), Relaxed);
    }

    /// Returns the estimated time of the server in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.origin.load(Relaxed).saturating_add(self.elapsed())
    }

    /// Returns the estimated time of the server in microseconds.
    pub(crate) fn microseconds(&self) -> u64 {
        self.now().saturating_mul(1000)
    }

    /// Returns whether the server's clock is behind this time by more than [`PRECISION`].
    pub(crate) fn is_behind(&self, milliseconds: u64) -> bool {
        milliseconds > self.now().saturating_add(PRECISION)
    }

    /// Returns the age of an entry that was added at this server time.
    pub(crate) fn age_of(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(milliseconds))
    }

    fn elapsed(&self) -> u64 {
        whole_milliseconds(self.created.elapsed())
    }
}
