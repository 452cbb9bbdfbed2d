-- Adds a process to those that use a server, and keeps `data`. Each process calls this script over
-- its first connection to the server, before anything else, and then four times in a lease.
--
-- KEYS: data
-- ARGV: id of the server, id of the server that the process used last (empty: none), lease, channel
--       of all processes
--
-- joined
local data, server, earlier, lease, everyone = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local f = redis.call('HMGET', data, 'u', 'r', 't', 's')
local is_first = earlier == ''
if not f[1] then
  -- A new server has neither data nor other processes.
  local others = redis.call('PUBLISH', everyone, '')
  if is_first and others == 0 then
    redis.call('HSET', data, 'u', 0, 's', swaps())
  else
    begin_restoring(data, lease)
    redis.call('HSET', data, 'r', server)
  end
elseif not is_first and earlier ~= server and f[2] ~= server then
  -- The server was restarted, or took the place of another one. The first process that returns
  -- records it.
  begin_restoring(data, lease)
  redis.call('HSET', data, 'r', server)
elseif was_set_back(f[3]) or f[4] ~= swaps() then
  redis.call('PUBLISH', everyone, '')
  begin_restoring(data, lease)
end
keep_data(data, lease)
return { 'joined' }
