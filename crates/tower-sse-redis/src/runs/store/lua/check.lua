-- Reports the states of runs to another process, and notifies the owners of those that it watches.
--
-- KEYS: the claim and the stream of each run
-- ARGV: ttl, prefix of the channels of processes, then for each run: epoch, whether a client watches
--       it, whether to return the head, channel
--
-- Returns one of these for each run, or an error if a key has another type:
--
-- starting, running  newest process head     `process` is the owner
-- an outcome         newest head
-- void               newest
-- other              newest head                 the key has another run, or the stream has an end and
--                                                the claim is lost
-- gone               newest                      the stream has no end, and the key has no run, or an
--                                                earlier one
-- version theirs                                 another version of the protocol wrote the claim
local ttl, control = tonumber(ARGV[1]), ARGV[2]

local function check(key, stream, epoch, is_watched, wants_head, channel)
  local claim = read_claim(key)
  local refused = refuse_version(claim)
  if refused then return refused end
  local newest, outcome, head = read_newest(stream)
  head = wants_head and head or ''
  -- An end in the stream is final. The epoch of the run that has the key now can be lower, because
  -- the clocks of processes differ.
  if not outcome and has_lost(claim, epoch) then return { 'gone', newest } end
  if not claim or claim.epoch ~= epoch then return { 'other', newest, head } end
  if claim.state == 'void' then return { 'void', newest } end
  if not claim.is_live then
    if outcome then return { claim.state, newest, head } end
    -- Redis lost the stream, or its end. The events that are left must not look complete. Write the
    -- claim first: if the script stopped in between, a completed run whose stream says otherwise
    -- would make each request look again.
    keep(stream, ttl)
    redis.call('HSET', key, 's', 'interrupted')
    add_end(key, stream, newest, 'interrupted', '')
    keep(stream, ttl)
    publish_end(channel, newest, 'interrupted', '')
    return { 'interrupted', newest, wants_head and redis.call('HGET', key, 'h') or '' }
  end
  if outcome then
    redis.call('HSET', key, 's', outcome)
    return { outcome, newest, head }
  end

  if is_watched then redis.call('PUBLISH', control .. claim.process, '+' .. stream) end
  head = wants_head and redis.call('HGET', key, 'h') or ''
  return { claim.state, newest, claim.process, head }
end

local replies = {}
for i = 1, #KEYS / 2 do
  local at = 4 * i - 1
  -- If a key has another type, only the check of its run fails.
  local has_worked, reply = pcall(check, KEYS[2 * i - 1], KEYS[2 * i], ARGV[at],
    ARGV[at + 1] == '1', ARGV[at + 2] == '1', ARGV[at + 3])
  replies[i] = has_worked and reply or redis.error_reply(reply)
end
return replies
