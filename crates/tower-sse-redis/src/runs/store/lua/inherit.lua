-- Makes a process the heir of a dead one, and returns the dead one's live runs, and those whose end
-- is not reported yet. If there are none, removes the dead process from the list of processes.
--
-- KEYS: live runs of the dead process, processes
-- ARGV: dead process, process, what this process last saw of the dead one: its counter, an earlier
--       heir, or nothing (empty)
--
-- Returns the names of the streams, or none if the process lives after all, or has another heir.
local live, processes, dead, process = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

local value = redis.call('HGET', processes, dead)
if (value or '') ~= ARGV[3] and value ~= process then return {} end
local streams = redis.call('HKEYS', live)
if #streams == 0 then
  redis.call('HDEL', processes, dead)
else
  redis.call('HSET', processes, dead, process)
end
return streams
