-- Renews the leases of live runs of one process. Owners call it often, so it does not include
-- `common`, and looks at the stream of a run only if it gets the number of entries that the stream
-- should have. If a run has changed otherwise, a `sync` finds out how.
--
-- KEYS: for each run its claim, and its stream if it is looked at
-- ARGV: process, lease, ttl, then for each run its epoch and its number of entries (empty: the
--       stream is not looked at)
--
-- Returns, for each run, the number of milliseconds for which another process still watches it, or
-- -1 if the owner has to send a `sync`.
local process, lease, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Returns whether a stream has this number of entries. If so, and if an eighth of `ttl` has passed
-- since the keys were kept last, keeps them for `ttl` again.
local function look(key, stream, entries, kept_since)
  if redis.pcall('XLEN', stream) ~= entries then return false end
  if not kept_since or kept_since > now or now - kept_since > ttl / 8 then
    redis.call('PEXPIRE', key, ttl)
    redis.call('PEXPIRE', stream, ttl)
    redis.call('HSET', key, 't', now)
  end
  return true
end

local replies, at = {}, 0
for i = 1, (#ARGV - 3) / 2 do
  local epoch, entries = ARGV[2 * i + 2], tonumber(ARGV[2 * i + 3])
  at = at + 1
  local key = KEYS[at]
  if entries then at = at + 1 end
  -- If a key has another type, only the renewal of its run fails.
  local f = redis.pcall('HMGET', key, 'v', 'e', 'p', 's', 'w', 't', 'c')
  local is_ours = f[1] == VERSION and f[2] == epoch and f[3] == process
  -- A request to stop the run counts as a change.
  local is_live = (f[4] == 'running' or f[4] == 'starting') and not f[7]
  if is_ours and is_live and (not entries or look(key, KEYS[at], entries, tonumber(f[6]))) then
    redis.call('HSET', key, 'l', now + lease)
    replies[i] = math.max(0, math.min((tonumber(f[5]) or 0) - now, lease))
  else
    replies[i] = -1
  end
end
return replies
