-- Returns which run has a key, or claims the key for a run.
--
-- KEYS: claim, data, live runs of the process (only to claim)
-- ARGV: epoch (empty: only look), process, lease, ttl, channel of all processes, prefix of the
--       channels of processes
--
-- free                                  no run has the key (only look)
-- restoring                             no live or completed run has the key, but an owner may
--                                       restore a lost claim
-- new                                   the run now has the key
-- live  epoch process state doubt stop  a run that is starting or running; `doubt` is `restoring`
--                                       if an owner may restore the claim of a later run; `stop`
--                                       is not empty if the owner is asked to stop the run
-- ended epoch process state doubt       a run that ended and is kept
-- version theirs                        another version of the protocol wrote the claim
local key, data, epoch, process = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local lease, ttl, everyone, control = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]

local claim, refused = read_claim(key)
if refused then return refused end

if claim and claim.is_live then
  -- An earlier attempt has claimed the key, but its reply was lost.
  if claim.epoch == epoch and claim.process == process then return { 'new' } end
  local doubt = is_restoring_claims(data, lease, everyone, true) and 'restoring' or ''
  return { 'live', claim.epoch, claim.process, claim.state, doubt, claim.stop and 'stop' or '' }
end
local is_looking = epoch == ''
local is_free = not claim or claim.state == 'void'
local is_restoring = is_restoring_claims(data, lease, everyone, is_looking and not is_free)
if not is_free and (is_looking or claim.state == 'completed') then
  return { 'ended', claim.epoch, claim.process, claim.state, is_restoring and 'restoring' or '' }
end
if is_restoring then return { 'restoring' } end
if is_looking then return { 'free' } end
create_claim(key, epoch, process, ttl, KEYS[3])
if not is_free then publish_replacement(control, claim) end
return { 'new' }
