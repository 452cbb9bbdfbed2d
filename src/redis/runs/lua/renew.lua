-- Renews the leases of live runs of one process whose streams are as it expects. It is sent often,
-- so it does without `common`. A `sync` finds out what else has become of a run.
--
-- KEYS: the claim and the stream of each run
-- ARGV: process, lease, ttl, then the epoch of each run and its number of entries
--
-- For each run: the number of milliseconds for which another process still watches it, or -1 if
-- anything else has to be found out.
local process, lease, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local replies = {}
for i = 1, #KEYS / 2 do
  local key, stream = KEYS[2 * i - 1], KEYS[2 * i]
  local epoch, entries = ARGV[2 * i + 2], tonumber(ARGV[2 * i + 3])
  -- A key of another type concerns its run alone.
  local f = redis.pcall('HMGET', key, 'v', 'e', 'p', 's', 'w', 't')
  local is_ours = f[1] == VERSION and f[2] == epoch and f[3] == process
  local is_live = f[4] == 'running' or f[4] == 'starting'
  if is_ours and is_live and redis.pcall('XLEN', stream) == entries then
    -- As in `sync`.
    local kept_since = tonumber(f[6])
    if not kept_since or kept_since > now or now - kept_since > ttl / 8 then
      redis.call('PEXPIRE', key, ttl)
      redis.call('PEXPIRE', stream, ttl)
      redis.call('HSET', key, 'l', now + lease, 't', now)
    else
      redis.call('HSET', key, 'l', now + lease)
    end
    replies[i] = math.max(0, math.min((tonumber(f[5]) or 0) - now, lease))
  else
    replies[i] = -1
  end
end
return replies
