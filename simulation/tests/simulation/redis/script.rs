//! The scripts of the crate, recognised by their text.

use super::{
    id::Id,
    resp::{Command, Reply},
    server::{Server, number},
    stream::Fields,
};

/// The script that adds a marker, as `src/redis/stream.rs` has it.
pub(super) const MARK: &str = "
local key, missing, known = KEYS[1], ARGV[1], ARGV[2]
local newest_at, leap = tonumber(ARGV[3]), ARGV[4]
if missing == 'empty' then
  if redis.call('XLEN', key) > 0 then return false end
elseif missing ~= 'always' and #redis.call('XRANGE', key, missing, missing) > 0 then
  return false
end
local time = redis.call('TIME')
local next = time[1] * 1000 + math.floor(time[2] / 1000) + 1
local id = string.format('%.0f-0', next)
if newest_at >= next then id = leap end
local added = redis.pcall('XADD', key, id, 'gap', known)
if type(added) == 'table' then return redis.call('XADD', key, '*', 'gap', known) end
return added
";

/// Runs a script: `EVAL text 1 key missing known newest leap`.
pub(super) fn eval(server: &mut Server, now: u64, command: &Command) -> Result<Reply, Reply> {
    let text = String::from_utf8_lossy(&command[1]);
    assert_eq!(text, MARK, "the crate has a script that the model does not know");
    let [_, _, _, key, missing, known, newest, leap] = &command[..] else {
        panic!("unexpected arguments of the script: {}", command.len())
    };
    let stream = server.existing(now, key)?;
    let is_there = match &missing[..] {
        b"empty" => stream.is_some_and(|stream| stream.len() > 0),
        b"always" => false,
        id => {
            let range = Id::parse(id, 0)?..=Id::parse(id, u64::MAX)?;
            stream.is_some_and(|stream| stream.has(range))
        }
    };
    if is_there {
        return Ok(Reply::Nil);
    }
    let next = now + 1;
    let id = if number::<u64>(newest) >= next {
        Id::parse(leap, 0)?
    } else {
        Id { milliseconds: next, counter: 0 }
    };
    let fields = Fields::new(vec![b"gap".to_vec(), known.clone()]);
    let stream = server.stream(now, key)?;
    let added = stream.add(Some(id), now, Fields::clone(&fields));
    added.or_else(|_| stream.add(None, now, fields)).map(Reply::bulk)
}
