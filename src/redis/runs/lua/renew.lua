-- Renews the lease of a live run. It is sent often, so it does without `common`, and
-- leaves the stream and the time for which the keys are kept to the next `sync`.
--
-- KEYS: claim
-- ARGV: epoch, process, lease
--
-- ok watched     the number of milliseconds for which another process still watches the run
-- sync           anything else has to be found out
local f = redis.call('HMGET', KEYS[1], 'v', 'e', 'p', 's', 'w')
if f[1] ~= VERSION or f[2] ~= ARGV[1] or f[3] ~= ARGV[2] then return { 'sync' } end
if f[4] ~= 'running' and f[4] ~= 'starting' then return { 'sync' } end
local time = redis.call('TIME')
local now, lease = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[3])
redis.call('HSET', KEYS[1], 'l', now + lease)
local watched = (tonumber(f[5]) or 0) - now
return { 'ok', math.max(0, math.min(watched, lease)) }
