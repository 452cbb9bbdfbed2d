use std::{sync::Arc, time::Duration};

use ::redis::{Cmd, FromRedisValue, RedisError, Value, cmd, from_redis_value};

use super::{
    added::Added,
    clock::Clock,
    entry::{GAP, NONCE, SKIP},
    identity::{Fingerprint, Identity},
    marker::{MARK, MarkIf, nonce},
    raw_entry::{RawEntry, parse_entries},
    stream_id::StreamId,
    survey::{SURVEY, Survey},
};
use crate::redis::{Error, servers::MultiplexedConnection};

/// The time that Redis waits for an entry before it replies that there is none.
pub(crate) const BLOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// The Redis stream of one hub, over one connection.
#[derive(Clone)]
pub(crate) struct RedisStream {
    pub(in crate::redis) connection: MultiplexedConnection,
    pub(crate) key: Arc<str>,
    pub(crate) clock: Arc<Clock>,
    /// The id of the server's process.
    pub(crate) server: Arc<str>,
}

/// The first entry of a range.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RangeStart {
    First,
    At(StreamId),
    After(StreamId),
}

impl RedisStream {
    /// Sets the clock to the server's.
    pub(crate) async fn set_clock(&mut self) -> Result<(), Error> {
        const ACTION: &str = "get the time from Redis";
        let (seconds, microseconds): (u64, u64) = self.query(&cmd("TIME"), ACTION).await?;
        self.clock.set(seconds.saturating_mul(1000).saturating_add(microseconds / 1000));
        Ok(())
    }

    /// Returns the newest entry up to a time in milliseconds, or up to the end (`+`).
    pub(crate) async fn newest_up_to(&mut self, end: &str) -> Result<Option<Identity>, Error> {
        let mut command = cmd("XREVRANGE");
        command.arg(&*self.key).arg(end).arg("-").arg("COUNT").arg(1);
        let entries = self.entries(&command, "find the newest entry of the Redis stream").await?;
        Ok(entries.first().map(RawEntry::identity))
    }

    /// Returns up to `count` entries.
    pub(crate) async fn range(
        &mut self,
        from: RangeStart,
        count: usize,
    ) -> Result<Vec<RawEntry>, Error> {
        let mut command = cmd("XRANGE");
        command.arg(&*self.key);
        match from {
            RangeStart::First => command.arg("-"),
            RangeStart::At(id) => command.arg(id.to_string()),
            RangeStart::After(id) => command.arg(format!("({id}")),
        };
        command.arg("+").arg("COUNT").arg(count);
        self.entries(&command, "read the Redis stream").await
    }

    /// Waits up to [`BLOCK_TIMEOUT`] for entries after `last`. Returns up to `count` of them, or
    /// `None` if the stream no longer has `last`, so that entries after it may be missing as well.
    pub(crate) async fn wait_after(
        &mut self,
        last: Identity,
        count: usize,
    ) -> Result<Option<Vec<RawEntry>>, Error> {
        const ACTION: &str = "wait for entries in the Redis stream";
        let mut pipeline = ::redis::pipe();
        pipeline.cmd("XREAD").arg("COUNT").arg(count).arg("BLOCK");
        pipeline.arg(BLOCK_TIMEOUT.as_millis() as u64);
        pipeline.arg("STREAMS").arg(&*self.key).arg(last.id.to_string());
        // Redis runs this after the wait. XREAD alone skips trimmed entries silently.
        let id = last.id.to_string();
        pipeline.cmd("XRANGE").arg(&*self.key).arg(&id).arg(&id);
        let replies = self.connection.send_packed_commands(&pipeline, 0, 2).await;
        let [entries, remaining] = replies
            .and_then(|replies| replies.into_iter().map(Value::extract_error).collect())
            .map(|replies: Vec<_>| replies.try_into())
            .map_err(|error| self.error(ACTION, error))?
            .map_err(|_| unexpected(ACTION))?;
        let remaining = self.parse_entries(remaining, ACTION)?;
        if remaining.first().is_none_or(|entry| entry.identity() != last) {
            return Ok(None);
        }
        let streams: Vec<(Value, Value)> =
            from_redis_value(entries).map_err(|_| unexpected(ACTION))?;
        let entries = streams.into_iter().next().map_or(Value::Nil, |(_key, entries)| entries);
        self.parse_entries(entries, ACTION).map(Some)
    }

    /// Adds a [marker](super::marker), and returns it if the condition is met. `newest` is the newest
    /// entry that this process knows.
    pub(crate) async fn mark(
        &mut self,
        condition: MarkIf,
        newest: StreamId,
    ) -> Result<Option<Identity>, Error> {
        const ACTION: &str = "mark a loss in the Redis stream";
        let newest = self.newest_up_to("+").await?.map_or(newest, |entry| entry.id.max(newest));
        let nonce = nonce();
        let mut command = cmd("EVAL");
        command.arg(MARK).arg(1).arg(&*self.key);
        command.arg(condition.argument());
        command.arg(newest.milliseconds).arg(newest.leap().to_string()).arg(&nonce);
        let Some(id) = self.query(&command, ACTION).await? else { return Ok(None) };
        self.check_range(id, ACTION)?;
        Ok(Some(Identity { id, fingerprint: Fingerprint::of([GAP, &nonce]) }))
    }

    /// Adds an entry that only advances the ids, unless the stream already has a later id.
    pub(crate) async fn skip_to(&mut self, id: StreamId, server: &str) -> Result<(), Error> {
        let mut command = cmd("XADD");
        command.arg(&*self.key).arg("NOMKSTREAM").arg(id.to_string());
        command.arg(SKIP).arg(server).arg(NONCE).arg(nonce());
        let detail = |error: &Error| error.client_error()?.detail().map(str::to_owned);
        match self.send(&command, "advance the ids of the Redis stream").await {
            Err(error) if detail(&error).is_some_and(|text| text.contains("equal or smaller")) => {
                Ok(())
            }
            result => result.map(drop),
        }
    }

    /// Removes the entries that are older than `max_age`, and returns the state of the stream, or
    /// `None` if it has no entries.
    pub(crate) async fn survey(
        &mut self,
        max_age: Option<Duration>,
        asks_memory: bool,
    ) -> Result<Option<Survey>, Error> {
        const ACTION: &str = "survey the Redis stream";
        let mut command = cmd("EVAL");
        command.arg(SURVEY).arg(1).arg(&*self.key);
        command.arg(max_age.map_or(0, |age| age.as_millis() as u64)).arg(u8::from(asks_memory));
        let state: Option<_> = self.query(&command, ACTION).await?;
        Ok(state.map(|(entries, oldest, memory)| Survey { entries, oldest, memory }))
    }

    async fn entries(
        &mut self,
        command: &Cmd,
        action: &'static str,
    ) -> Result<Vec<RawEntry>, Error> {
        let reply = self.send(command, action).await?;
        self.parse_entries(reply, action)
    }

    async fn query<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
        action: &'static str,
    ) -> Result<T, Error> {
        let reply = self.send(command, action).await?;
        from_redis_value(reply).map_err(|error| Error::new(action, error))
    }

    async fn send(&mut self, command: &Cmd, action: &'static str) -> Result<Value, Error> {
        let reply = self.connection.send_packed_command(command).await;
        reply.and_then(Value::extract_error).map_err(|error| self.error(action, error))
    }

    fn parse_entries(&self, reply: Value, action: &'static str) -> Result<Vec<RawEntry>, Error> {
        let entries = parse_entries(reply).ok_or_else(|| unexpected(action))?;
        entries.iter().try_for_each(|entry| self.check_range(entry.id, action))?;
        Ok(entries)
    }

    /// Parses the reply to a command that adds an event or an announcement.
    pub(crate) fn parse_added(&self, reply: Value) -> Result<Added, Error> {
        const ACTION: &str = "add an entry to the Redis stream";
        let added = Added::parse(reply).ok_or_else(|| unexpected(ACTION))?;
        if let Added::Entry(id) = added {
            self.check_range(id, ACTION)?;
        }
        Ok(added)
    }

    fn check_range(&self, id: StreamId, action: &'static str) -> Result<(), Error> {
        if id.is_in_range(self.clock.now()) {
            Ok(())
        } else {
            Err(Error::new(action, self.out_of_range(id)))
        }
    }

    /// Returns the error of a command that Redis did not execute, or did not answer.
    pub(crate) fn error(&self, action: &'static str, error: RedisError) -> Error {
        // Redis assigns no id after the highest one.
        if error.detail().is_some_and(|detail| detail.contains("exhausted the last possible ID")) {
            Error::new(action, self.out_of_range(StreamId::MAX))
        } else {
            Error::new(action, error)
        }
    }

    /// Returns the text of the error about an entry that no process can read, or publish after.
    fn out_of_range(&self, id: StreamId) -> String {
        let key = &self.key;
        format!(
            "the id of entry {id} of stream `{key}` is out of range: delete the stream with \
             `DEL {key}`, or the entry with `XDEL {key} {id}` and `XSETID {key} <last id>`, where \
             <last id> is that of the last remaining entry"
        )
    }
}

fn unexpected(action: &'static str) -> Error {
    Error::new(action, "unexpected reply from Redis")
}
