//! The scripts of the crate, recognised by their text.

use super::{
    id::Id,
    resp::{Command, Reply},
    server::{Server, number},
    stream::{Fields, Stream},
};

/// The script that adds a marker, as `src/redis/stream/marker.rs` has it.
pub(super) const MARK: &str = "
local key, read = KEYS[1], ARGV[1]
local newest_at, leap, nonce = tonumber(ARGV[2]), ARGV[3], ARGV[4]
if read == 'empty' then
  if redis.call('XLEN', key) > 0 then return false end
else
  for _, entry in ipairs(redis.call('XRANGE', key, '(' .. read, '+', 'COUNT', 1000)) do
    if entry[2][1] == 'gap' then return false end
  end
end
local time = redis.call('TIME')
local next = time[1] * 1000 + math.floor(time[2] / 1000) + 1
local id = string.format('%.0f-0', next)
if newest_at >= next then id = leap end
local added = redis.pcall('XADD', key, id, 'gap', nonce)
if type(added) == 'table' then return redis.call('XADD', key, '*', 'gap', nonce) end
return added
";

/// The script that trims the stream by time, as `src/redis/stream/survey.rs` has it.
pub(super) const SURVEY: &str = "
local key, max_age, asks_memory = KEYS[1], tonumber(ARGV[1]), ARGV[2] == '1'
local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
if not newest then return false end
if max_age > 0 then
  local time = redis.call('TIME')
  local start = time[1] * 1000 + math.floor(time[2] / 1000) - max_age
  local minimum = newest[1]
  if start < tonumber(string.match(minimum, '^%d+')) then
    minimum = string.format('%.0f', math.max(start, 0))
  end
  redis.call('XTRIM', key, 'MINID', '=', minimum)
end
local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
local memory = asks_memory and redis.pcall('MEMORY', 'USAGE', key)
if type(memory) ~= 'number' then memory = false end
return {redis.call('XLEN', key), oldest[1], memory}
";

/// The script that ends a topic, as `src/redis/stream/end.rs` has it.
pub(super) const END: &str = "
local key, announced = KEYS[1], ARGV[1]
local entry = redis.call('XRANGE', key, announced, announced)[1]
if not entry or entry[2][#entry[2] - 1] ~= 'end' then return -1 end
local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
now = math.max(now, tonumber(string.match(newest[1], '^%d+')))
local age = now - tonumber(string.match(announced, '^%d+'))
local notice, validity = tonumber(ARGV[2]), tonumber(ARGV[3])
if age < notice then return notice - age end
if age > validity then return -1 end
local id = string.format('%.0f-*', now)
return redis.call('XADD', key, 'MAXLEN', '~', ARGV[4], id, unpack(ARGV, 5))
";

/// Runs a script.
pub(super) fn eval(server: &mut Server, now: u64, command: &Command) -> Result<Reply, Reply> {
    match &*String::from_utf8_lossy(&command[1]) {
        MARK => mark(server, now, command),
        END => end(server, now, command),
        SURVEY => survey(server, now, command),
        text => panic!("the crate has a script that the model does not know: {text}"),
    }
}

/// Runs `EVAL SURVEY 1 key max_age asks_memory`.
fn survey(server: &mut Server, now: u64, command: &Command) -> Result<Reply, Reply> {
    let [_, _, _, key, max_age, asks_memory] = &command[..] else {
        panic!("unexpected arguments of the script: {}", command.len())
    };
    let Some(stream) = server.existing(now, key)? else { return Ok(Reply::Nil) };
    let Some((newest, _)) = stream.entries().next_back() else { return Ok(Reply::Nil) };
    let max_age: u64 = number(max_age);
    if max_age > 0 {
        server.check("XTRIM")?;
    }
    let stream = server.stream(now, key)?;
    if max_age > 0 {
        let start = Id { milliseconds: now.saturating_sub(max_age), counter: 0 };
        let is_newest_older = start.milliseconds >= newest.milliseconds;
        _ = stream.trim_below(if is_newest_older { newest } else { start });
    }
    let oldest = stream.entries().next().map(|(id, _)| id).expect("the newest entry");
    let entries = i64::try_from(stream.len()).expect("a small count");
    let memory = if asks_memory == b"1" { Reply::Integer(100 * entries) } else { Reply::Nil };
    Ok(Reply::Array(vec![Reply::Integer(entries), Reply::bulk(oldest), memory]))
}

/// Runs `EVAL END 1 key announced notice validity max_len field value …`.
fn end(server: &mut Server, now: u64, command: &Command) -> Result<Reply, Reply> {
    let [_, _, _, key, announced, notice, validity, _, fields @ ..] = &command[..] else {
        panic!("too few arguments of the script: {}", command.len())
    };
    let announced = Id::parse(announced, 0)?;
    let not_announced = Ok(Reply::Integer(-1));
    let Some(stream) = server.existing(now, key)? else { return not_announced };
    let is_announcement = |fields: &Fields| fields[fields.len() - 2] == b"end";
    if !stream.entries().any(|(id, fields)| id == announced && is_announcement(fields)) {
        return not_announced;
    }
    let newest = stream.entries().next_back().map_or(0, |(id, _)| id.milliseconds);
    let (now_of_server, now) = (now, now.max(newest));
    // A number of Lua holds every millisecond of an id, roughly.
    let age = now as f64 - announced.milliseconds as f64;
    let (notice, validity) = (number::<f64>(notice), number::<f64>(validity));
    if age < notice {
        return Ok(Reply::Integer((notice - age) as i64));
    }
    if age > validity {
        return not_announced;
    }
    server.check("XADD")?;
    let stream = server.stream(now_of_server, key)?;
    stream.add_in(now, Fields::new(fields.to_vec())).map(Reply::bulk)
}

/// Runs `EVAL MARK 1 key read newest leap nonce`.
fn mark(server: &mut Server, now: u64, command: &Command) -> Result<Reply, Reply> {
    let [_, _, _, key, read, newest, leap, nonce] = &command[..] else {
        panic!("unexpected arguments of the script: {}", command.len())
    };
    let stream = server.existing(now, key)?;
    let is_marked = match &read[..] {
        b"empty" => stream.is_some_and(|stream| stream.len() > 0),
        id => {
            let read = Id::parse(id, 0)?;
            if read.next().is_none() {
                return Err(Reply::error("invalid start ID for the interval"));
            }
            let entries = stream.as_deref().into_iter().flat_map(Stream::entries);
            let mut after = entries.filter(|(id, _)| *id > read).take(1000);
            after.any(|(_, fields)| fields[0] == b"gap")
        }
    };
    if is_marked {
        return Ok(Reply::Nil);
    }
    let next = now + 1;
    let id = if number::<u64>(newest) >= next {
        Id::parse(leap, 0)?
    } else {
        Id { milliseconds: next, counter: 0 }
    };
    let fields = Fields::new(vec![b"gap".to_vec(), nonce.clone()]);
    server.check("XADD")?;
    let stream = server.stream(now, key)?;
    let added = stream.add(Some(id), now, Fields::clone(&fields));
    added.or_else(|_| stream.add(None, now, fields)).map(Reply::bulk)
}
