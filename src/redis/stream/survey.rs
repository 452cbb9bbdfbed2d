use super::stream_id::StreamId;

/// A script that removes entries that are too old, and returns the number of remaining entries, the
/// id of the oldest one, and the memory of the stream in bytes.
///
/// It keeps the newest entry, however old that is: a stream without entries looks lost. The memory
/// is unknown if the user may not ask for it. The script writes only if it trims, so that it also
/// runs while the server accepts no writes.
pub(crate) const SURVEY: &str = "
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

/// The state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) entries: u64,
    pub(crate) oldest: StreamId,
    /// `None` if it is unknown.
    pub(crate) memory: Option<u64>,
}
