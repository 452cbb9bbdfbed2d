//! The scripts of the crate, recognised by their text.

use super::{
    id::Id,
    resp::{Command, Reply},
    server::Server,
};

/// The script that adds a marker, as `src/redis/stream.rs` has it.
const MARK: &str = "
local key, missing, known = KEYS[1], ARGV[1], ARGV[2]
if missing == '0-0' then
  if redis.call('XLEN', key) > 0 then return false end
elseif #redis.call('XRANGE', key, missing, missing) > 0 then
  return false
end
local time = redis.call('TIME')
local next = time[1] * 1000 + math.floor(time[2] / 1000) + 1
local known_at, counter = string.match(known, '^(%d+)-(%d+)$')
local id = string.format('%.0f-0', next)
if next <= tonumber(known_at) then id = string.format('%s-%.0f', known_at, counter + 1) end
local added = redis.pcall('XADD', key, id, 'gap', known)
if type(added) == 'table' then return redis.call('XADD', key, '*', 'gap', known) end
return added
";

/// Runs a script: `EVAL text 1 key missing known`.
pub(super) fn eval(server: &mut Server, now: u64, command: &Command) -> Result<Reply, Reply> {
    assert_eq!(
        String::from_utf8_lossy(&command[1]),
        MARK,
        "the crate has a script that the model does not know"
    );
    let [_, _, _, key, missing, known] = &command[..] else {
        panic!("unexpected arguments of the script: {}", command.len())
    };
    mark(server, now, key, missing, known)
}

fn mark(
    server: &mut Server,
    now: u64,
    key: &[u8],
    missing: &[u8],
    known: &[u8],
) -> Result<Reply, Reply> {
    let missing = Id::parse(missing, 0)?;
    if let Some(stream) = server.existing(now, key)? {
        let is_there = match missing {
            Id::MIN => stream.len() > 0,
            missing => stream.has(missing..=missing),
        };
        if is_there {
            return Ok(Reply::Nil);
        }
    }
    let known_id = Id::parse(known, 0)?;
    let next = now + 1;
    let id = if next <= known_id.milliseconds {
        Id { milliseconds: known_id.milliseconds, counter: known_id.counter + 1 }
    } else {
        Id { milliseconds: next, counter: 0 }
    };
    let fields = std::sync::Arc::new(vec![b"gap".to_vec(), known.to_vec()]);
    let stream = server.stream(now, key)?;
    let added = stream.add(Some(id), now, std::sync::Arc::clone(&fields));
    added.or_else(|_| stream.add(None, now, fields)).map(Reply::bulk)
}
