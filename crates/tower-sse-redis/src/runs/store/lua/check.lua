-- Returns the states of runs of other processes, and notifies the owners of those that clients of
-- this process watch.
--
-- KEYS: the claim and the stream of each run
-- ARGV: ttl, prefix of the channels of processes, then for each run: epoch, whether a client
--       watches it, channel
--
-- Returns one of these for each run, or an error if a key has another type:
--
-- starting, running  newest head process     `process` is the owner
-- ended, other       newest head             `other`: the key has another run, or the stream has an
--                                            end and the claim is lost
-- void               newest
-- gone               newest                  the stream has no end, and the key has no run, or an
--                                            earlier one
-- version theirs                                 another version of the protocol wrote the claim
local ttl, control = tonumber(ARGV[1]), ARGV[2]

local function check(key, stream, epoch, is_watched, channel)
  local claim, refused = read_claim(key)
  if refused then return refused end
  local newest, outcome, head = read_newest(stream)
  -- An end in the stream is final. The epoch of the run that has the key now can be lower, because
  -- the clocks of processes differ.
  if not outcome and has_lost(claim, epoch) then return { 'gone', newest } end
  if not claim or claim.epoch ~= epoch then return { 'other', newest, head } end
  if claim.state == 'void' then return { 'void', newest } end
  head = head or redis.call('HGET', key, 'h') or ''
  if claim.is_live and outcome then
    redis.call('HSET', key, 's', outcome)
  elseif not claim.is_live and not outcome then
    -- Redis lost the stream, or its end. The events that are left must not look complete. Write the
    -- claim first: if the script stopped in between, a completed run whose stream says otherwise
    -- would make each request look again.
    outcome = 'interrupted'
    keep(stream, ttl)
    redis.call('HSET', key, 's', outcome)
    add_end(key, stream, newest, outcome, '')
    keep(stream, ttl)
    publish_end(channel, newest, outcome, '')
  end
  if outcome then return { 'ended', newest, head } end
  if is_watched then redis.call('PUBLISH', control .. claim.process, '+' .. stream) end
  return { claim.state, newest, head, claim.process }
end

local replies = {}
for i = 1, #KEYS / 2 do
  local at = 3 * i
  -- If a key has another type, only the check of its run fails.
  local has_worked, reply = pcall(check, KEYS[2 * i - 1], KEYS[2 * i], ARGV[at],
    ARGV[at + 1] == '1', ARGV[at + 2])
  replies[i] = has_worked and reply or redis.error_reply(reply)
end
return replies
