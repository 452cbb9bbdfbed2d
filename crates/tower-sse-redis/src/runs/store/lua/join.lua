-- Appends an event whose parts have arrived.
--
-- KEYS: stream, parts
-- ARGV: id, number of the event, its size
--
-- Returns the id, or nil if parts or the stream are missing.
local stream, parts, bytes = KEYS[1], KEYS[2], {}
for at, part in ipairs(redis.call('XRANGE', parts, '-', '+')) do bytes[at] = part[2][2] end
bytes = table.concat(bytes)
if #bytes ~= tonumber(ARGV[3]) then return false end
local id = redis.call('XADD', stream, 'NOMKSTREAM', ARGV[1], 'f', ARGV[2], 'd', bytes)
redis.call('DEL', parts)
return id
