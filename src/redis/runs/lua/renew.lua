-- Renews the leases of live runs of one process. It is sent often, so it does without `common`, and
-- leaves the streams and the time for which the keys are kept to the next `sync`.
--
-- KEYS: claims
-- ARGV: process, lease, the epoch of each claim
--
-- For each claim: the number of milliseconds for which another process still watches the run, or -1
-- if anything else has to be found out.
local process, lease = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local replies = {}
for i, key in ipairs(KEYS) do
  -- A key of another type concerns its run alone.
  local f = redis.pcall('HMGET', key, 'v', 'e', 'p', 's', 'w')
  local is_ours = f[1] == VERSION and f[2] == ARGV[i + 2] and f[3] == process
  if is_ours and (f[4] == 'running' or f[4] == 'starting') then
    redis.call('HSET', key, 'l', now + lease)
    replies[i] = math.max(0, math.min((tonumber(f[5]) or 0) - now, lease))
  else
    replies[i] = -1
  end
end
return replies
