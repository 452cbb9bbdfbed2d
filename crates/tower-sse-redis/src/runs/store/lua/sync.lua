-- Begins the stream of a run, keeps the run's keys, and reports what Redis has of the run. The
-- owner sends it when a run begins, when a reply leaves doubt, when another process asks for
-- something, about every half hour, and on each new connection before anything else.
--
-- KEYS: claim, stream, live runs of the process
-- ARGV: epoch, process, ttl, expected number of entries (empty: unknown), whether to create lost
--       keys again, head of the stream (empty: it has not begun), channel, whether a client of
--       another process watches the run
--
-- ok     newest entries lines       `newest`: the newest event in Redis; `lines`: those of the last
--                                   event (may be empty), if the owner is asked to stop the run
-- behind …                          Redis has another number of entries, or lost the claim
-- over   outcome newest reported    the run was ended. `reported`: 1 if no other process has to
--                                   report its end any more; 0 or missing otherwise
-- replaced …                        the same, and another run has taken the key
-- other                             another run has the key: Redis lost the claim
-- version theirs                    another version of the protocol wrote the claim
local key, stream, epoch, process = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local ttl, expected, is_restoring = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local head, channel, is_watched = ARGV[6], ARGV[7], ARGV[8] == '1'

-- Read the stream first: this fails if its key has another type, and changes nothing.
local newest, outcome = read_newest(stream)
local claim, refused = read_claim(key)
if refused then return refused end
if outcome then
  if claim and claim.epoch == epoch and claim.is_live then redis.call('HSET', key, 's', outcome) end
  -- A run has its key before its stream has an end. So another run that has the key has replaced
  -- this one, even on a server with an older state.
  local status = claim and claim.epoch ~= epoch and 'replaced' or 'over'
  return { status, outcome, newest, redis.call('HGET', KEYS[3], stream) and 0 or 1 }
end

local is_lost = has_lost(claim, epoch)
if is_lost and not is_restoring then return { 'behind' } end
if is_lost then
  create_claim(key, epoch, process, ttl, KEYS[3])
  claim = { epoch = epoch, state = 'starting', is_live = true }
end
if claim.epoch ~= epoch then return { 'other' } end
if not claim.is_live then return { 'over', claim.state, newest } end

if is_restoring then
  redis.call('DEL', stream)
  newest = 0
end
local entries = redis.call('XLEN', stream)
local is_behind = expected and not is_restoring and entries ~= expected
local begins = false
if head ~= '' and not is_behind then
  if entries == 0 then
    keep(key, ttl)
    -- A stream whose entries were all deleted would refuse the id.
    redis.call('DEL', stream)
    redis.call('XADD', stream, '0-1', 'v', VERSION, 'h', head)
    -- The user may lack the permission for what follows.
    keep(stream, ttl)
    entries = 1
  end
  begins = claim.state == 'starting'
  if begins then redis.call('HSET', key, 's', 'running', 'h', head) end
end
keep(key, ttl)
keep(stream, ttl)
-- Other processes load the head.
if begins then redis.call('PUBLISH', channel, 'n18446744073709551615') end
-- The batches before this call may not have been pushed.
if is_watched then redis.call('PUBLISH', channel, string.format('n%.0f', newest)) end
return { is_behind and 'behind' or 'ok', newest, entries, claim.stop or nil }
