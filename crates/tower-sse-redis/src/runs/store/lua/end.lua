-- Ends a run.
--
-- KEYS: claim, stream, live runs of the owner, processes
-- ARGV: epoch, mode, outcome, message, newest event, expected number of entries (empty: unknown),
--       process, ttl, ttl of a void claim, channel, prefix of the channels of processes,
--       `cancel`: lines of an event to add before the end (or nothing), `bury`: owner
--
-- own      by its owner, once Redis has exactly all events
-- release  by the process that sent the claim, and has no run for it, or no event stream, or not
--          all of its events. Before the run has begun, it becomes void, and the key is free again;
--          otherwise the outcome is `interrupted`
-- cancel   by any process; the owner is asked to end the run itself
-- bury     by the heir of a dead owner, or by any process if the owner is not listed. This process
--          reports the end, and then removes the run from the live ones of the owner. While the run
--          is still among these, the heir also reports it if another process has buried it, and any
--          process that may bury it also ends it if its claim is gone
-- forget   deletes the keys of a run that ended, or that Redis has lost
-- discard  keeps the stream of a run that was replaced, but only for the time of a void claim
--
-- ended                         the run is ended, now or before by this process in the same mode
-- freed                         `release`: the run is void; `forget`: its keys are deleted;
--                               `discard`: its stream expires
-- buried newest                 `bury`: the run is ended, and this process reports the end
-- over   outcome                the run was ended before by another process or in another mode, or,
--                               `bury`: its end was reported
-- behind                        `own`: Redis has other events
-- live                          `cancel`: the owner is asked; `bury`: the owner lives, or has
--                               another heir; `forget`: the run is live; `discard`: it has the key
-- other                         the key has another run; `release`: also if another process has the
--                               claim
-- gone                          the key has no run
-- version theirs                another version of the protocol wrote the claim
local key, stream, epoch, mode, outcome, message = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local owned, expected, process, ttl = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
local void_ttl, channel, control = tonumber(ARGV[9]), ARGV[10], ARGV[11]

local claim, refused = read_claim(key)
if refused then return refused end
local is_ours = claim and claim.epoch == epoch

if mode == 'forget' or mode == 'discard' then
  if is_ours and (claim.is_live or mode == 'discard') then return { 'live' } end
  if is_ours then redis.call('DEL', key) end
  if mode == 'forget' then redis.call('DEL', stream) else keep(stream, void_ttl) end
  -- The process that replaced the run could not remove it: its call lacks the key of this list.
  remove_live(KEYS[3], stream)
  return { 'freed' }
end
-- The process has no such run any more, whatever has become of the claim.
if mode == 'release' then
  remove_live(KEYS[3], stream)
  -- A process that has replaced the run has added an end.
  if claim and not is_ours then keep(stream, void_ttl) end
end
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
  return { 'buried', newest }
end
if not is_ours and mode == 'cancel' then
  -- Another run may have taken the key since the owner ended this one.
  local _, ended = read_newest(stream)
  if ended then return { 'over', ended } end
end
if not claim then return { 'gone' } end
if not is_ours or mode == 'release' and claim.process ~= process then return { 'other' } end
local ended_by = mode .. ' ' .. process
if not claim.is_live then
  if heir and string.find(claim.ended_by or '', '^bury ') then
    redis.call('HSET', key, 'b', ended_by)
    claim.ended_by = ended_by
  end
  local is_reported = mode == 'bury' and not redis.call('HGET', KEYS[3], stream)
  if is_reported or claim.ended_by ~= ended_by then return { 'over', claim.state } end
  if mode == 'bury' then return { 'buried', (read_newest(stream)) } end
  return { claim.state == 'void' and 'freed' or 'ended' }
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
  if newest ~= owned or expected and expected ~= entries then return { 'behind' } end
elseif mode == 'cancel' and claim.process ~= process then
  -- The owner exports all events before the end, because its clients may have seen them.
  if not claim.stop then
    ask(KEYS[4], claim, ttl)
    redis.call('HSET', key, 'c', ARGV[12] or '')
  end
  redis.call('PUBLISH', control .. claim.process, epoch)
  return { 'live' }
elseif mode == 'release' and claim.state == 'starting' then
  -- The claim stays until late commands have arrived. Without it, the owner of an earlier run would
  -- take its own claim for lost, and restore a run that has ended.
  keep(key, void_ttl)
  redis.call('HSET', key, 's', 'void', 'b', ended_by)
  redis.call('PUBLISH', channel, 'v')
  return { 'freed' }
end

keep(key, ttl)
add_end(key, stream, newest, outcome, message)
keep(stream, ttl)
redis.call('HSET', key, 's', outcome, 'b', ended_by)
publish_end(channel, newest, outcome, message)
if claim.process ~= process then redis.call('PUBLISH', control .. claim.process, epoch) end
if mode == 'bury' then return { 'buried', newest } end
remove_live(KEYS[3], stream)
return { 'ended' }
