-- What most scripts share. Times are in milliseconds. No script decides by the server's clock.

-- The id of a stream's end. All other ids are lower, so Redis refuses them afterwards.
local END_ID = '18446744073709551615-0'
-- The minimum time that the lists of live runs and of processes outlive the last process, so that
-- the next one can report the runs.
local LIST_TTL = 86400000
-- The minimum time that `data` is kept without processes. All claims but void ones are kept for
-- longer: if the clock jumps so far that claims expire, `data` expires too.
local DATA_TTL = 20000

-- Reads a claim, or returns nil if there is none. If another version of the protocol wrote it,
-- returns the reply that says so as the second value.
local function read_claim(key)
  local f = redis.call('HMGET', key, 'v', 'e', 'p', 's', 'b', 'c')
  if not f[1] and not f[2] then return nil end
  if f[1] ~= VERSION then return nil, { 'version', f[1] or '0' } end
  local is_live = f[4] == 'starting' or f[4] == 'running'
  return { epoch = f[2], process = f[3], state = f[4], is_live = is_live, ended_by = f[5], stop = f[6] }
end

-- Makes a key expire after `ttl`. Most scripts also call this before they create a key: a user
-- without the permission then changes nothing, and leaves no key that never expires.
local function keep(key, ttl)
  redis.call('PEXPIRE', key, ttl)
end

-- Returns whether the server has lost the claim of a run whose stream has no end. In an older
-- state, the key has no run, or an earlier one. Epochs are base-36 numbers without leading zeros,
-- and rise from run to run, unless the clocks of processes differ.
local function has_lost(claim, epoch)
  if not claim then return true end
  if not claim.epoch or claim.epoch == epoch then return false end
  if #claim.epoch ~= #epoch then return #claim.epoch < #epoch end
  -- A number has room for their first digits, the time in milliseconds. `<` compares strings in the
  -- order of the server's locale, where letters can precede digits.
  return tonumber(string.sub(claim.epoch, 1, 10), 36) < tonumber(string.sub(epoch, 1, 10), 36)
end

-- `live` is the key of the live runs of the process. Clears an earlier claim without deleting it:
-- while a slot moves, a script cannot create a key again.
local function create_claim(key, epoch, process, ttl, live)
  keep(key, ttl)
  redis.call('HDEL', key, 'h', 'b', 'c')
  redis.call('HSET', key, 'v', VERSION, 'e', epoch, 'p', process, 's', 'starting')
  keep(key, ttl)
  redis.call('HSET', live, key .. ':' .. epoch, '')
  keep(live, math.max(ttl, LIST_TTL))
end

-- Removes a run from those that another process reports if the owner dies. Without the permission,
-- the run stays listed. If the owner then dies, the run can be reported a second time, once another
-- run has the key or the claim has expired.
local function remove_live(live, stream)
  redis.pcall('HDEL', live, stream)
end

-- Tells the owner of a run that another run has taken its key, so that the owner lets its
-- stream expire.
local function publish_replacement(control, claim)
  redis.call('PUBLISH', control .. tostring(claim.process), '-' .. tostring(claim.epoch))
end

-- Lists a run among those that its owner synchronizes at its next beat: a message can be lost.
local function ask(processes, claim, ttl)
  ttl = math.max(ttl, LIST_TTL)
  keep(processes, ttl)
  redis.call('HSET', processes, tostring(claim.process) .. ':' .. claim.epoch, '')
  keep(processes, ttl)
end

-- Returns a text that changes if the server may have the claims and the `data` of an earlier time.
-- It has the server's id, the counts of the commands that swap databases or change the server's
-- role, and the id of its replication history.
--
-- Redis draws another history id, and clears the second one, when the first replica connects and
-- some time after the last one has left. A replica that takes over keeps its earlier id as the
-- second one, so the text has the history id only if there is a second one. It comes last: a text
-- without it is a prefix of one with it.
local function history()
  local info = redis.call('INFO', 'server', 'commandstats', 'replication')
  local text = string.match(info, 'run_id:%x+') or ''
  for _, name in ipairs({ 'swapdb', 'replicaof', 'slaveof', 'failover' }) do
    local _, at = string.find(info, 'cmdstat_' .. name .. ':calls=', 1, true)
    text = text .. ' ' .. (at and string.match(info, '%d+', at) or '0')
  end
  local is_cleared = string.find(info, 'master_replid2:0+%s')
  return text .. ' ' .. (is_cleared and '' or string.match(info, 'master_replid:%x+') or '')
end

-- Records that the server has lost data. Owners restore their claims until a process that has seen
-- the token `u` for a lease deletes it. The time only makes the token unique.
local function begin_restoring(data, lease)
  local token = table.concat(redis.call('TIME'), '.')
  redis.call('HSET', data, 'v', VERSION, 'u', token, 's', history())
  keep(data, math.max(lease, DATA_TTL))
end

-- Returns whether an owner may still restore a claim that the server has lost. If `data` is missing
-- or has another history than the server, records that claims may be lost, and notifies all
-- processes. With `is_kept`, ignores the history, which takes longer to read than all else.
local function is_restoring_claims(data, lease, everyone, is_kept)
  local f = redis.call('HMGET', data, 'u', 's')
  local now = not is_kept and f[2] and history() or ''
  if f[2] and string.sub(f[2], 1, #now) == now then return f[1] and true or false end
  begin_restoring(data, lease)
  redis.call('PUBLISH', everyone, '')
  return true
end

-- Returns the sequence number of the newest event of a stream, and the outcome and the head if the
-- stream has an end.
local function read_newest(stream)
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  if not last then return 0 end
  if last[1] ~= END_ID then return tonumber(string.match(last[1], '^%d+')) end
  local fields = {}
  for i = 1, #last[2], 2 do fields[last[2][i]] = last[2][i + 1] end
  return tonumber(fields.n) or 0, fields.o or 'interrupted', fields.h
end

-- Ends the stream of the run that has the key. Nothing can be added to it afterwards. The end
-- contains the head, because the owner may have trimmed the first entry, and another run may
-- replace the claim.
local function add_end(key, stream, newest, outcome, message)
  local head = redis.call('HGET', key, 'h') or ''
  redis.call('XADD', stream, END_ID, 'o', outcome, 'm', message, 'n', newest, 'h', head)
end

local function publish_end(channel, newest, outcome, message)
  redis.call('PUBLISH', channel, string.format('e%.0f %s %s', newest, outcome, message))
end
