-- Adds a batch that another one precedes in the same pipeline. Redis can have refused that one, for example because it was
-- almost out of memory, and have room for this one.
--
-- KEYS: stream
-- ARGV: number of entries before the batch, id, and the fields of its entry
--
-- Returns the id, or nil if the stream has another number of entries.
local stream = KEYS[1]
if redis.call('XLEN', stream) ~= tonumber(ARGV[1]) then return false end
return redis.call('XADD', stream, 'NOMKSTREAM', unpack(ARGV, 2))
