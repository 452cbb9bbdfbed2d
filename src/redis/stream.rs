use std::{sync::Arc, time::Duration};

#[cfg(not(tower_sse_simulation))]
use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, Value, cmd};

#[cfg(tower_sse_simulation)]
use super::simulation::MultiplexedConnection;
use super::{
    Error,
    acknowledgements::Identity,
    entry::{RawEntry, SKIP, marker_fingerprint},
    last_entry::LastEntry,
    mutant,
    stream_id::StreamId,
};

/// The time that Redis waits for an entry before it replies that there is none.
pub(super) const BLOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// A script that adds a marker: if the stream has no entries (`empty`), if it has no entry with the
/// id `missing`, or `always`.
///
/// The marker's id must be above all entries that may have been lost. It is above `newest`, the
/// newest entry that its writer knows. It is also in the next millisecond, because the writer may
/// not know all lost entries of the current one. If the stream already has a higher id, Redis
/// assigns the next one.
const MARK: &str = "
local key, missing, known, newest = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if missing == 'empty' then
  if redis.call('XLEN', key) > 0 then return false end
elseif missing ~= 'always' and #redis.call('XRANGE', key, missing, missing) > 0 then
  return false
end
local time = redis.call('TIME')
local next = time[1] * 1000 + math.floor(time[2] / 1000) + 1
local newest_at, counter = string.match(newest, '^(%d+)-(%d+)$')
local id = string.format('%.0f-0', next)
if next <= tonumber(newest_at) then id = string.format('%s-%.0f', newest_at, counter + 1) end
local added = redis.pcall('XADD', key, id, 'gap', known)
if type(added) == 'table' then return redis.call('XADD', key, '*', 'gap', known) end
return added
";

/// The Redis stream of one hub, over one connection.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) connection: MultiplexedConnection,
    pub(super) key: Arc<str>,
}

/// The condition for adding a marker.
#[derive(Clone, Copy, Debug)]
pub(super) enum MarkIf {
    /// The stream has no entries.
    Empty,
    /// The stream has no entry with this id.
    Missing(StreamId),
    Always,
}

/// The first entry of a range.
#[derive(Clone, Copy, Debug)]
pub(super) enum RangeStart {
    First,
    At(StreamId),
    After(StreamId),
}

impl Stream {
    /// Returns the server's time in milliseconds.
    pub(super) async fn time(&mut self) -> Result<u64, Error> {
        const ACTION: &str = "get the time from Redis";
        let reply = self.send(&cmd("TIME"), ACTION).await?;
        let (seconds, microseconds): (u64, u64) =
            ::redis::from_redis_value(reply).map_err(|error| Error::new(ACTION, error))?;
        Ok(seconds.saturating_mul(1000).saturating_add(microseconds / 1000))
    }

    /// Returns the id of the server's process, which no other server has.
    pub(super) async fn server(&mut self) -> Result<String, Error> {
        const ACTION: &str = "identify the Redis server";
        let mut command = cmd("INFO");
        command.arg("server");
        let reply = self.send(&command, ACTION).await?;
        let info: String =
            ::redis::from_redis_value(reply).map_err(|error| Error::new(ACTION, error))?;
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        run_id.map(str::to_owned).ok_or_else(|| unexpected(ACTION))
    }

    /// Returns the id of the newest entry before a time in milliseconds.
    pub(super) async fn newest_before(
        &mut self,
        milliseconds: u64,
    ) -> Result<Option<StreamId>, Error> {
        let Some(before) = milliseconds.checked_sub(1) else { return Ok(None) };
        let mut command = cmd("XREVRANGE");
        command.arg(&*self.key).arg(before).arg("-").arg("COUNT").arg(1);
        let entries =
            self.entries(&command, "find the start of the history in the Redis stream").await?;
        Ok(entries.first().map(|entry| entry.id))
    }

    /// Returns up to `count` entries.
    pub(super) async fn range(
        &mut self,
        from: RangeStart,
        to: Option<StreamId>,
        count: usize,
    ) -> Result<Vec<RawEntry>, Error> {
        let mut command = cmd("XRANGE");
        command.arg(&*self.key);
        match from {
            RangeStart::First => command.arg("-"),
            RangeStart::At(id) => command.arg(id.to_string()),
            RangeStart::After(id) => command.arg(format!("({id}")),
        };
        match to {
            None => command.arg("+"),
            Some(id) => command.arg(id.to_string()),
        };
        command.arg("COUNT").arg(count);
        self.entries(&command, "read the Redis stream").await
    }

    /// Waits up to [`BLOCK_TIMEOUT`] for entries after `last`. Returns up to `count` of them, or
    /// `None` if the stream no longer has `last`, so that entries after it may be missing as well.
    pub(super) async fn wait_after(
        &mut self,
        last: LastEntry,
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
            .map_err(|error| Error::new(ACTION, error))?
            .map_err(|_| unexpected(ACTION))?;
        let remaining = parse_entries(remaining).ok_or_else(|| unexpected(ACTION))?;
        if remaining.first().is_none_or(|entry| !last.matches(entry))
            && !mutant::trusts_every_answer()
        {
            return Ok(None);
        }
        match entries {
            Value::Nil => Ok(Some(Vec::new())),
            reply => parse_streams(reply).map(Some).ok_or_else(|| unexpected(ACTION)),
        }
    }

    /// Adds a [marker](MARK), and returns it if the condition is met. It records the loss of
    /// entries up to `known`. `newest` is the newest entry that this process knows.
    pub(super) async fn mark(
        &mut self,
        condition: MarkIf,
        known: StreamId,
        newest: StreamId,
    ) -> Result<Option<Identity>, Error> {
        let condition = match condition {
            MarkIf::Empty => "empty".to_owned(),
            MarkIf::Missing(id) => id.to_string(),
            MarkIf::Always => "always".to_owned(),
        };
        let mut command = cmd("EVAL");
        command.arg(MARK).arg(1).arg(&*self.key);
        command.arg(condition).arg(known.to_string()).arg(newest.to_string());
        let reply = self.send(&command, "mark a loss in the Redis stream").await?;
        let added = parse_added(reply)?;
        Ok(added.map(|id| Identity { id, fingerprint: marker_fingerprint(known) }))
    }

    /// Adds an entry with an id of the next millisecond, unless the stream already has a later id.
    pub(super) async fn skip_after(&mut self, id: StreamId) {
        let mut command = cmd("XADD");
        let next = StreamId::at(id.milliseconds.saturating_add(1));
        command.arg(&*self.key).arg("NOMKSTREAM").arg(next.to_string()).arg(SKIP).arg("");
        // Redis rejects the id if the stream has a later one, as intended.
        _ = self.send(&command, "advance the ids of the Redis stream").await;
    }

    pub(super) async fn ping(&mut self) -> Result<(), Error> {
        self.send(&cmd("PING"), "ping Redis").await.map(drop)
    }

    async fn entries(
        &mut self,
        command: &Cmd,
        action: &'static str,
    ) -> Result<Vec<RawEntry>, Error> {
        let reply = self.send(command, action).await?;
        parse_entries(reply).ok_or_else(|| unexpected(action))
    }

    async fn send(&mut self, command: &Cmd, action: &'static str) -> Result<Value, Error> {
        let reply = self.connection.send_packed_command(command).await;
        reply.and_then(Value::extract_error).map_err(|error| Error::new(action, error))
    }
}

fn unexpected(action: &'static str) -> Error {
    Error::new(action, "unexpected reply from Redis")
}

/// Parses the reply of XREAD for one stream, in either version of the protocol.
fn parse_streams(reply: Value) -> Option<Vec<RawEntry>> {
    let entries = match reply {
        Value::Map(streams) => streams.into_iter().next()?.1,
        Value::Array(streams) => match streams.into_iter().next()? {
            Value::Array(stream) => stream.into_iter().nth(1)?,
            _ => return None,
        },
        _ => return None,
    };
    parse_entries(entries)
}

fn parse_entries(reply: Value) -> Option<Vec<RawEntry>> {
    let Value::Array(entries) = reply else { return None };
    entries.into_iter().map(parse_entry).collect()
}

fn parse_entry(entry: Value) -> Option<RawEntry> {
    let Value::Array(parts) = entry else { return None };
    let mut parts = parts.into_iter();
    let id = String::from_utf8(bytes(parts.next()?)?).ok()?.parse().ok()?;
    let Value::Array(fields) = parts.next()? else { return None };
    Some(RawEntry { id, fields: fields.into_iter().map(bytes).collect::<Option<_>>()? })
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

/// Parses the reply of XADD: the id of the entry, or `None` if there is no stream.
pub(super) fn parse_added(reply: Value) -> Result<Option<StreamId>, Error> {
    if reply == Value::Nil {
        return Ok(None);
    }
    let id = bytes(reply).and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
    id.map(Some).ok_or_else(|| unexpected("add an entry to the Redis stream"))
}
