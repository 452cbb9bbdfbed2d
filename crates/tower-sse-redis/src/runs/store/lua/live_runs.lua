-- Returns the live runs of a process, and those whose end is not reported yet. If there are none,
-- removes the process from those that use the server, unless it has returned.
--
-- KEYS: live runs of the process, processes
-- ARGV: process, lease
--
-- Returns the names of the streams, after whether the process has returned (0, 1).
local live, processes, process, lease = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])

local streams = redis.call('HKEYS', live)
-- Only the process that looks after it sets a time that is further away than a lease, if all have the same.
local present_until = tonumber(redis.call('HGET', processes, process) or 0)
local is_silent = present_until < now or present_until > now + lease
if #streams == 0 and present_until > now + lease then redis.call('HDEL', processes, process) end
table.insert(streams, 1, is_silent and 0 or 1)
return streams
