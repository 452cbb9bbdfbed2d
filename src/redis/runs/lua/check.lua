-- Reports the state of a run to another process, and tells its owner that it is watched.
--
-- KEYS: claim, stream
-- ARGV: epoch, watch (0: not watched), is the connection new, whether to return the head, ttl,
--       channel, prefix of the channels of processes
--
-- starting, running  newest status wait head     `status` of the owner: live, late or dead
-- an outcome, void   newest
-- other              newest                      the key has another run
-- gone               newest                      the key has no run
-- version theirs                                 another version of the protocol wrote the claim
local key, stream, epoch, watch = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
local is_new_connection, wants_head, ttl = ARGV[3] == '1', ARGV[4] == '1', tonumber(ARGV[5])
local channel, control = ARGV[6], ARGV[7]

local claim = read_claim(key)
local refused = refuse_version(claim)
if refused then return refused end
local newest, outcome = read_newest(stream)
if not claim then return { 'gone', newest } end
if claim.epoch ~= epoch then return { 'other', newest } end
if claim.state == 'void' then return { 'void', newest } end
if not claim.is_live then
  if outcome then return { claim.state, newest } end
  -- Redis lost the stream, or its end. Whatever is left must not look complete.
  add_end(stream, newest, 'interrupted', '')
  redis.call('PEXPIRE', stream, ttl)
  redis.call('HSET', key, 's', 'interrupted')
  publish_end(channel, newest, 'interrupted', '')
  return { 'interrupted', newest }
end
if outcome then
  redis.call('HSET', key, 's', outcome)
  return { outcome, newest }
end

local status, wait = liveness(key, claim, is_new_connection)
local head = wants_head and redis.call('HGET', key, 'h') or ''
if watch > 0 then
  local watched = math.max(claim.watched, math.min(now + watch, latest_watch(claim)))
  redis.call('HSET', key, 'w', watched)
  if claim.watched <= now then redis.call('PUBLISH', control .. claim.process, epoch) end
end
return { claim.state, newest, status, wait, head }
