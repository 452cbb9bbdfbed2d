-- Adds a process to those that use a server, and keeps `data`. Each process calls this script when
-- a session begins, before any other script, and then four times in a lease.
--
-- KEYS: data, processes, live runs of the process
-- ARGV: id of the server, id of the server that the process used last (empty: none), lease, channel
--       of all processes, process, ttl, whether the process looks after the runs of others
--
-- joined process ...                the processes whose runs this process now looks after, if they
--                                   have any: they have not called the script for most of a lease.
--                                   No other process looks after them for three leases
local data, server, earlier, lease, everyone = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local processes, process, ttl = KEYS[2], ARGV[5], math.max(tonumber(ARGV[6]), LIST_TTL)

-- A replica that took over may lack claims, and processes may not have found it yet.
local function has_taken_over()
  return string.find(redis.call('INFO', 'replication'), 'master_replid2:0*[1-9a-f]')
end

local f = redis.call('HMGET', data, 'u', 'r')
local is_first = earlier == ''
local others = f[1] or redis.call('PUBLISH', everyone, '')
if is_first and others == 0 and not has_taken_over() then
  -- A new server has neither data nor other processes.
  redis.call('HSET', data, 'u', 0, 's', history())
elseif not f[1] or not is_first and earlier ~= server and f[2] ~= server then
  -- The server has lost its data, restarted, or replaced another one. The first process that
  -- returns records it.
  begin_restoring(data, lease)
  redis.call('HSET', data, 'r', server)
else
  is_restoring_claims(data, lease, everyone)
end
keep_data(data, lease)

keep(KEYS[3], ttl)
redis.call('HSET', processes, process, now + math.floor(lease * 3 / 4))
keep(processes, ttl)
local reply, names = { 'joined' }, redis.pcall('HKEYS', processes)
if ARGV[7] ~= '1' or names.err then return reply end
for _, name in ipairs(names) do
  local present_until = math.abs(tonumber(redis.call('HGET', processes, name)))
  -- A time that is further away was written before the clock was set back.
  if present_until < now or present_until > now + 3 * lease then
    -- A negative time shows that the process itself has not called this script since.
    redis.call('HSET', processes, name, -(now + 3 * lease))
    reply[#reply + 1] = name
  end
end
return reply
