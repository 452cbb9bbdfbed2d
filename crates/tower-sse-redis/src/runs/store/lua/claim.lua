-- Returns which run has a key, or claims the key for a run.
--
-- KEYS: claim, data, live runs of the process (not to look)
-- ARGV: epoch (empty: only look), process, lease, ttl, is the connection new, channel of all
--       processes, prefix of the channels of processes
--
-- free                                  no run has the key (only look)
-- restoring                             no run has the key, but an owner may restore a lost claim
-- new                                   the run now has the key
-- live  epoch process state doubt       a run that is starting or running; `doubt` is `restoring` if
--                                       an owner may restore the claim of a later run
-- late  epoch process state doubt wait  its owner is late: look again after `wait`
-- dead  epoch process state doubt       its owner is dead: end it first
-- ended epoch process state doubt       a run that ended and is kept
-- version theirs                        another version of the protocol wrote the claim
local key, data, epoch, process = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local lease, ttl, is_new_connection = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local everyone, control = ARGV[6], ARGV[7]

local claim = read_claim(key)
local refused = refuse_version(claim)
if refused then return refused end

if claim and claim.is_live then
  -- An earlier attempt has claimed the key, but its reply was lost.
  if claim.epoch == epoch and claim.process == process then return { 'new' } end
  local status, wait = liveness(key, claim, is_new_connection)
  local doubt = is_restoring_claims(data, lease, everyone, true) and 'restoring' or ''
  return { status, claim.epoch, claim.process, claim.state, doubt, wait }
end
local is_looking = epoch == ''
local is_free = not claim or claim.state == 'void'
local is_restoring = is_restoring_claims(data, lease, everyone, is_looking and not is_free)
if not is_free and (is_looking or claim.state == 'completed') then
  return { 'ended', claim.epoch, claim.process, claim.state, is_restoring and 'restoring' or '' }
end
if is_restoring then return { 'restoring' } end
if is_looking then return { 'free' } end
create_claim(key, epoch, process, lease, ttl, KEYS[3])
if not is_free then publish_replacement(control, claim) end
return { 'new' }
