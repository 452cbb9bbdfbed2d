-- Returns the live runs of a process, and those whose end is not reported yet. If there are none,
-- removes the process from those that use the server, unless it has returned.
--
-- KEYS: live runs of the process, processes
-- ARGV: process
--
-- Returns the names of the streams, after whether the process has returned (0, 1).
local live, processes, process = KEYS[1], KEYS[2], ARGV[1]

local streams = redis.call('HKEYS', live)
-- A process that looks after this one has made its time negative.
local present_until = tonumber(redis.call('HGET', processes, process) or 0)
if #streams == 0 and present_until < 0 then redis.call('HDEL', processes, process) end
table.insert(streams, 1, present_until >= now and 1 or 0)
return streams
