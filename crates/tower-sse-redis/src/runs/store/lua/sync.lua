-- Renews the lease of a run, begins its stream, and reports what Redis has of it. The owner sends it
-- when a run begins, when a reply leaves doubt, and on each new connection before anything else.
--
-- KEYS: claim, stream, live runs of the process
-- ARGV: epoch, process, lease, ttl, expected number of entries (empty: unknown), whether to create
--       lost keys again, head of the stream (empty: it has not begun), channel, whether the owner
--       pushes its batches
--
-- ok     newest entries watched     `newest`: the newest event in Redis; `watched`: the number of
--        lines                      milliseconds for which another process still watches the run;
--                                   `lines`: those of the last event (may be empty), if the owner is
--                                   asked to stop the run
-- behind newest entries watched     Redis lost entries: restore
-- gone                              Redis lost the claim: restore
-- over   outcome newest reported    the run was ended. `reported`: whether it is no longer among those
--                                   whose end is to be reported
-- replaced …                        the same, and another run has taken the key
-- other                             another run has the key: Redis lost the claim
-- version theirs                    another version of the protocol wrote the claim
local key, stream, epoch, process = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local lease, ttl, expected = tonumber(ARGV[3]), math.max(tonumber(ARGV[4]), MIN_TTL), tonumber(ARGV[5])
local is_restoring, head, channel, is_pushing = ARGV[6] == '1', ARGV[7], ARGV[8], ARGV[9] == '1'

-- Read the stream first: this fails if its key has another type, and does not renew the lease.
local newest, outcome = read_newest(stream)
local claim = read_claim(key)
local refused = refuse_version(claim)
if refused then return refused end
if outcome then
  if claim and claim.epoch == epoch and claim.is_live then redis.call('HSET', key, 's', outcome) end
  -- Whatever state the server has, the key had this run before the stream had an end.
  local status = claim and claim.epoch ~= epoch and 'replaced' or 'over'
  return { status, outcome, newest, redis.call('HGET', KEYS[3], stream) and 0 or 1 }
end

local is_lost = has_lost(claim, epoch)
if is_lost and not is_restoring then return { 'gone' } end
if is_lost then
  create_claim(key, epoch, process, lease, ttl, KEYS[3])
  claim = { epoch = epoch, state = 'starting', watched = 0, is_live = true }
end
if claim.epoch ~= epoch then return { 'other' } end
if not claim.is_live then return { 'over', claim.state, newest } end

if is_restoring then
  redis.call('DEL', stream)
  newest = 0
end
local entries = redis.call('XLEN', stream)
local is_behind = expected and not is_restoring and entries ~= expected
local begins, is_new = false, is_restoring
if head ~= '' and not is_behind then
  if entries == 0 then
    keep(key, ttl)
    -- A stream whose entries were all deleted would refuse the id.
    redis.call('DEL', stream)
    redis.call('XADD', stream, '0-1', 'v', VERSION, 'h', head)
    keep(stream, ttl)
    entries, is_new = 1, true
  end
  begins = claim.state == 'starting'
  if begins then redis.call('HSET', key, 's', 'running', 'h', head) end
end
-- Most calls leave the keys' expiry as it is.
local kept_since = claim.kept_since
if is_new or not kept_since or kept_since > now or now - kept_since > ttl / 8 then
  keep(key, ttl)
  keep(stream, ttl)
  redis.call('HSET', key, 'l', now + lease, 'd', lease, 't', now)
else
  redis.call('HSET', key, 'l', now + lease, 'd', lease)
end
if begins then redis.call('PUBLISH', channel, 'h' .. head) end
-- The batches before this call were not pushed.
if claim.watched > now and not is_pushing then
  redis.call('PUBLISH', channel, string.format('n%.0f', newest))
end
local watched = math.max(claim.watched - now, 0)
return { is_behind and 'behind' or 'ok', newest, entries, watched, claim.stop or nil }
