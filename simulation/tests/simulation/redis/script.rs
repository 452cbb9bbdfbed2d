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

/// Runs a script: `EVAL text 1 key read newest leap nonce`.
pub(super) fn eval(server: &mut Server, now: u64, command: &Command) -> Result<Reply, Reply> {
    let text = String::from_utf8_lossy(&command[1]);
    assert_eq!(text, MARK, "the crate has a script that the model does not know");
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
