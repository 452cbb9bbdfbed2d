-- Ends a run.
--
-- KEYS: claim, stream, live runs of the owner, processes
-- ARGV: epoch, mode, outcome, message, newest event, expected number of entries (empty: unknown),
--       process, ttl, ttl of a void claim, channel, prefix of the channels of processes,
--       `cancel`: lines of an event to add before the end (or nothing), `bury`: owner
--
-- own      by its owner, once Redis has exactly all events
-- lost     by its owner, which cannot export all events; the outcome is `interrupted`
-- void     by its owner, because the answer was no stream; the key is free again
-- orphan   by the process that sent the claim, but has no run for it; like `void` before the run
--          has begun, otherwise the outcome is `interrupted`
-- cancel   by any process; the owner is asked to end the run itself
-- bury     by the heir of a dead owner, or by any process if the owner is not listed. This process
--          reports the end, and then removes the run from the live ones of the owner. A run that is
--          still among these is also ended if another heir has buried it, or if its claim is gone
-- forget   deletes the keys of a run that ended, or that Redis has lost
-- discard  deletes the stream of a run that was replaced
--
-- ended  outcome newest         the run is ended, now or before by the same process in the same
--                               mode; `forget`, `discard`: its keys are deleted
-- buried owner newest           `bury`: the same, and this process reports the end
-- over   outcome                the run was ended before by another process or in another mode
-- behind newest                 `own`: Redis has other events
-- live                          `cancel`: the owner is asked; `bury`: it lives, or has another heir
-- running                       `void`: the run has begun; `forget`: it is live; `discard`: it has
--                               the key
-- other newest                  the key has another run
-- gone                          the key has no run
-- version theirs                another version of the protocol wrote the claim
local key, stream, epoch, mode, outcome, message = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local owned, expected, process, ttl = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local void_ttl, channel, control = tonumber(ARGV[9]), ARGV[10], ARGV[11]

local claim = read_claim(key)
local refused = refuse_version(claim)
if refused then return refused end
local is_ours = claim and claim.epoch == epoch

if mode == 'forget' or mode == 'discard' then
  if is_ours and (claim.is_live or mode == 'discard') then return { 'running' } end
  if is_ours then redis.call('DEL', key) end
  redis.call('DEL', stream)
  -- The process that replaced the run could not remove it: its call lacks the key of this list.
  remove_live(KEYS[3], stream)
  return { 'ended', 'forgotten', 0 }
end
-- The process has no such run, whatever has become of the claim.
if mode == 'orphan' then remove_live(KEYS[3], stream) end
local heir = mode == 'bury' and redis.call('HGET', KEYS[4], ARGV[12])
if heir and heir ~= process then return { 'live' } end
if not is_ours and mode == 'bury' and redis.call('HGET', KEYS[3], stream) then
  -- The claim is lost, or has expired while all processes were away, or another run has taken it.
  -- Without the end, an owner that returns could restore the run.
  keep(stream, ttl)
  local newest, ended = read_newest(stream)
  if not ended then
    redis.call('XADD', stream, END_ID, 'o', outcome, 'm', message, 'n', newest, 'h', '')
    keep(stream, ttl)
    publish_end(channel, newest, outcome, message)
  end
  return { 'buried', ARGV[12], newest }
end
if not claim then return { 'gone' } end
if not is_ours or mode == 'orphan' and claim.process ~= process then
  return { 'other', (read_newest(stream)) }
end
local ended_by = mode .. ' ' .. process
if not claim.is_live then
  if heir and string.find(claim.ended_by or '', '^bury ') then
    redis.call('HSET', key, 'b', ended_by)
    claim.ended_by = ended_by
  end
  if claim.ended_by ~= ended_by then return { 'over', claim.state } end
  if mode == 'bury' then return { 'buried', claim.process, (read_newest(stream)) } end
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
elseif mode == 'cancel' and claim.process ~= process then
  -- The owner exports all events before the end, because its clients may have seen them.
  if not claim.stop then
    ask(KEYS[4], claim, ttl)
    redis.call('HSET', key, 'c', ARGV[12] or '')
  end
  redis.call('PUBLISH', control .. claim.process, epoch)
  return { 'live' }
elseif mode == 'void' or mode == 'orphan' and claim.state == 'starting' then
  if claim.state ~= 'starting' then return { 'running' } end
  -- The claim stays until late commands have arrived. Without it, the owner of an earlier run would
  -- take its own claim for lost, and restore a run that has ended.
  keep(key, void_ttl)
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
if mode == 'bury' then return { 'buried', claim.process, newest } end
remove_live(KEYS[3], stream)
return { 'ended', outcome, newest }
