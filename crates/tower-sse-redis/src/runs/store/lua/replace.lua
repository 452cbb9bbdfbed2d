-- Claims a key in place of an earlier run, which is cancelled if it is live. The owner of the
-- earlier run then lets that run's stream expire.
--
-- KEYS: claim, stream of the earlier run, live runs of the process, processes
-- ARGV: earlier epoch, epoch, process, ttl, channel of the earlier run, prefix of the channels of
--       processes
--
-- new                 the new run has the key
-- again               the key no longer has the earlier run: look again
-- version theirs      another version of the protocol wrote the claim
local key, stream, earlier, epoch, process = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local ttl, channel, control = tonumber(ARGV[4]), ARGV[5], ARGV[6]

-- Fails if the user lacks a permission without which owners cannot export their runs.
local function require_permissions(key)
  local commands = {
    { 'XREVRANGE', key, '+', '-' }, { 'XLEN', key }, { 'XADD', key, '1-0', '', '' },
    { 'PEXPIRE', key, 1 }, { 'DEL', key },
  }
  for _, command in ipairs(commands) do
    -- A call that is not permitted fails, and the server logs it for its operator.
    if not redis.acl_check_cmd(unpack(command)) then redis.call(unpack(command)) end
  end
end

local claim, refused = read_claim(key)
if refused then return refused end
-- An earlier attempt has claimed the key, but its reply was lost.
if claim and claim.epoch == epoch and claim.process == process then return { 'new' } end
if not claim or claim.epoch ~= earlier then return { 'again' } end

-- Fails before anything has changed if the user may not replace claims. Otherwise, the script could
-- stop once it has cancelled the earlier run, and no run would have the key.
require_permissions(key)
redis.call('HSET', key, 'v', VERSION)
local newest, outcome = read_newest(stream)
local is_cancelled = claim.is_live and not outcome
if is_cancelled then
  if claim.process ~= process then ask(KEYS[4], claim, ttl) end
  keep(key, ttl)
  add_end(key, stream, newest, 'cancelled', '')
  keep(stream, ttl)
end
create_claim(key, epoch, process, ttl, KEYS[3])
if is_cancelled then publish_end(channel, newest, 'cancelled', '') end
publish_replacement(control, claim)
return { 'new' }
