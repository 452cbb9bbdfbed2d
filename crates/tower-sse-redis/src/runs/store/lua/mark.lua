-- Adds an empty entry after a large batch: scripts read the entry instead of the batch. Checks the
-- number of entries, because Redis may have refused the batch for lack of memory, and still have
-- room for this entry.
--
-- KEYS: stream
-- ARGV: id, number of entries with the batch
--
-- Returns the number of entries that were added: 1, or 0 if the stream is missing or has another
-- number of entries.
local stream = KEYS[1]
if redis.call('XLEN', stream) ~= tonumber(ARGV[2]) then return 0 end
return redis.call('XADD', stream, 'NOMKSTREAM', ARGV[1], '', '') and 1 or 0
