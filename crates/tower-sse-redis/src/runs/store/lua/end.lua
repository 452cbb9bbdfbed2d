-- Ends a run.
--
-- KEYS: claim, stream, live runs of the process (`inherit`: of the owner, if it is still away)
-- ARGV: epoch, mode, outcome, message, newest event, expected number of entries (empty: unknown),
--       process, ttl, is the connection new, channel, prefix of the channels of processes,
--       `cancel`: lines of an event to add before the end (or nothing)
--
-- own      by its owner, once Redis has exactly all events
-- lost     by its owner, which no longer has all events; the outcome is `interrupted`
-- void     by its owner, because the answer was no stream; the key is free again
-- orphan   by the process that sent the claim, which does not know whether Redis executed it; like
--          `void` before the run has begun, otherwise the outcome is `interrupted`
-- cancel   by any process; unless the owner is dead, it is asked to end the run itself
-- bury     by any process, if the owner is dead. It reports the end and then removes the run from the
--          live ones of the owner
-- inherit  the same, also if another process has buried the run and not removed it, or if the claim is
--          gone and the run is still among the live ones of its owner
-- forget   deletes the keys of a run that ended, or that Redis has lost
-- discard  deletes the stream of a run that was replaced
--
-- ended  outcome newest         the run is ended, now or before by the same process in the same
--                               mode; `forget`, `discard`: its keys are deleted
-- buried owner newest           `bury`, `inherit`, `cancel`: the same, and this process reports the end
-- over   outcome                the run was ended before by another process or in another mode
-- behind newest                 `own`: Redis has other events
-- live, late state wait         `bury`, `cancel`: the owner is not dead
-- running                       `void`: the run has begun; `forget`: it is live; `discard`: it has
--                               the key
-- other newest                  the key has another run
-- gone                          the key has no run
-- version theirs                another version of the protocol wrote the claim
local key, stream, epoch, mode, outcome, message = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local owned, expected, process, ttl = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local is_new_connection, channel, control = ARGV[9] == '1', ARGV[10], ARGV[11]

local claim = read_claim(key)
local refused = refuse_version(claim)
if refused then return refused end
local is_ours = claim and claim.epoch == epoch

if mode == 'forget' or mode == 'discard' then
  if is_ours and (claim.is_live or mode == 'discard') then return { 'running' } end
  if is_ours then redis.call('DEL', key) end
  redis.call('DEL', stream)
  -- The process that has replaced the run does not know its owner.
  remove_live(KEYS[3], stream)
  return { 'ended', 'forgotten', 0 }
end
-- The process has no such run, whatever has become of the claim.
if mode == 'orphan' then remove_live(KEYS[3], stream) end
if not claim then
  if mode ~= 'inherit' or not redis.call('HGET', KEYS[3], stream) then return { 'gone' } end
  -- All processes were away for longer than claims are kept, or an operator has deleted this one.
  -- Without the end, an owner that returns would restore the run.
  keep(stream, ttl)
  local newest, ended = read_newest(stream)
  if not ended then
    add_end(key, stream, newest, outcome, message)
    keep(stream, ttl)
    publish_end(channel, newest, outcome, message)
  end
  return { 'buried', string.sub(KEYS[3], #control + 1), newest }
end
if not is_ours or mode == 'orphan' and claim.process ~= process then
  return { 'other', (read_newest(stream)) }
end
local buried_by = 'bury ' .. process
local ended_by = (mode == 'bury' or mode == 'inherit') and buried_by or mode .. ' ' .. process
if not claim.is_live then
  if mode == 'inherit' and string.find(claim.ended_by or '', '^bury ') then
    redis.call('HSET', key, 'b', buried_by)
    claim.ended_by = buried_by
  end
  if claim.ended_by ~= ended_by then return { 'over', claim.state } end
  if ended_by == buried_by then return { 'buried', claim.process, (read_newest(stream)) } end
  return { 'ended', claim.state, (read_newest(stream)) }
end

-- An operator's mistake can give the stream's key another type. The run must still end.
local entries = redis.pcall('XLEN', stream)
if type(entries) == 'table' then
  if not string.find(entries.err, 'WRONGTYPE', 1, true) then return entries end
  redis.call('DEL', stream)
end
local newest, ended = read_newest(stream)
if ended then
  redis.call('HSET', key, 's', ended)
  return { 'over', ended }
end
if mode == 'own' then
  if newest ~= owned then return { 'behind', newest } end
  if expected and expected ~= entries then return { 'behind', 0 } end
elseif mode == 'lost' then
  outcome = 'interrupted'
elseif mode == 'bury' or mode == 'inherit' or mode == 'cancel' and claim.process ~= process then
  -- The owner exports all events before the end, because its clients may have seen them. If the
  -- hint is lost, it finds the request when it renews its lease.
  if mode == 'cancel' and not claim.stop then
    redis.call('HSET', key, 'c', ARGV[12] or '')
    redis.call('PUBLISH', control .. claim.process, epoch)
  end
  outcome, ended_by = 'interrupted', buried_by
  local status, wait = liveness(key, claim, is_new_connection)
  if status ~= 'dead' then return { status, claim.state, wait } end
elseif mode == 'void' or mode == 'orphan' and claim.state == 'starting' then
  if claim.state ~= 'starting' then return { 'running' } end
  -- The claim stays until late commands have arrived. Without it, the owner of an earlier run would
  -- take its own claim for lost, and restore a run that has ended.
  keep(key, 2 * claim.lease)
  redis.call('HSET', key, 's', 'void', 'b', ended_by)
  redis.call('PUBLISH', channel, 'v')
  remove_live(KEYS[3], stream)
  return { 'ended', 'void', 0 }
end

keep(key, ttl)
add_end(key, stream, newest, outcome, message)
keep(stream, ttl)
redis.call('HSET', key, 's', outcome, 'b', ended_by)
publish_end(channel, newest, outcome, message)
if claim.process ~= process then redis.call('PUBLISH', control .. claim.process, epoch) end
if ended_by == buried_by then return { 'buried', claim.process, newest } end
remove_live(KEYS[3], stream)
return { 'ended', outcome, newest }
