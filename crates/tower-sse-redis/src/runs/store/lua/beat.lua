-- Writes the counter that a process has incremented, and keeps `data`. Each process calls this
-- script when a session begins, before any other script, and then five times in a lease.
--
-- KEYS: data, processes, live runs of the process
-- ARGV: id of the server, id of the server that the process used last (empty: none), lease, channel
--       of all processes, process, its counter, ttl, token of the time of restoring that is over
--       (or empty)
--
-- joined  token gone asked name value ...  `token`: not empty while owners restore their claims;
--                                          `gone`: whether another process has declared this one
--                                          dead, or its counter was lost (0, 1); `asked`: the
--                                          epochs of the runs that others have asked to stop or
--                                          have replaced since the last beat; then all processes:
--                                          the counter of each, or the name of its heir if it is
--                                          dead
-- version theirs                           processes of another version use the server
local data, server, earlier, lease, everyone = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local processes, process, counter = KEYS[2], ARGV[5], ARGV[6]
local ttl, restored = math.max(tonumber(ARGV[7]), LIST_TTL), ARGV[8]

-- A replica that took over may lack claims, and processes may not have found it yet.
local function has_taken_over()
  return string.find(redis.call('INFO', 'replication'), 'master_replid2:0*[1-9a-f]')
end

local f = redis.call('HMGET', data, 'v', 'r', 'u')
local is_first, has_data = earlier == '', redis.call('EXISTS', data) == 1
if has_data and f[1] ~= VERSION then return { 'version', f[1] or '1' } end
if restored ~= '' and f[3] == restored then redis.call('HDEL', data, 'u') end
local others = has_data or redis.call('PUBLISH', everyone, '') > 0
if is_first and not others and not has_taken_over() then
  -- A new server has neither data nor other processes.
  redis.call('HSET', data, 'v', VERSION, 's', history())
elseif not has_data or not is_first and earlier ~= server and f[2] ~= server then
  -- The server has lost its data, restarted, or replaced another one. The first process that
  -- returns records it.
  begin_restoring(data, lease)
  redis.call('HSET', data, 'r', server)
else
  is_restoring_claims(data, lease, everyone)
end
keep(data, math.max(lease, DATA_TTL))

keep(KEYS[3], ttl)
local before = redis.call('HGET', processes, process)
redis.call('HSET', processes, process, counter)
keep(processes, ttl)
local is_gone = not is_first and not tonumber(before)
local reply = { 'joined', redis.call('HGET', data, 'u') or '', is_gone and '1' or '0', '' }
local fields = redis.call('HGETALL', processes)
for i = 1, #fields, 2 do
  local owner, epoch = string.match(fields[i], '(.*):(.*)')
  if not owner then
    reply[#reply + 1] = fields[i]
    reply[#reply + 1] = fields[i + 1]
  elseif owner == process or not redis.call('HGET', processes, owner) then
    redis.call('HDEL', processes, fields[i])
    if owner == process then reply[4] = reply[4] .. epoch .. ' ' end
  end
end
return reply
