-- What most scripts share. Times are milliseconds of the server's clock.

-- The highest id of a stream: after an entry with this id, Redis refuses every other entry.
local END_ID = '18446744073709551615-0'
-- How long an owner must be late before it counts as dead, at least.
local MIN_GRACE = 1500
-- The minimum time that the keys of a live run are kept, so that a jump of the clock expires none.
local MIN_TTL = 60000
-- The time that the lists of live runs and of processes outlive the last process, so that the next
-- one can report the runs.
local LIST_TTL = 86400000
-- The maximum time that a key is kept. Redis refuses times that overflow when added to its clock.
local MAX_TTL = 100 * 365 * 86400000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Returns the latest time until which a process may report that it watches a run. The process
-- reports it again at each check.
local function latest_watch(claim)
  return now + math.floor(claim.lease * 3 / 4)
end

-- Reads a claim, or returns nil if there is none. Deadlines that are further away than the lease
-- allows were written before the clock was set back. This function shortens them.
local function read_claim(key)
  local f = redis.call('HMGET', key, 'v', 'e', 'p', 's', 'l', 'd', 'w', 'x', 'y', 'b', 't', 'c')
  if not f[1] and not f[2] then return nil end
  local claim = { version = f[1] or '0', epoch = f[2], process = f[3], state = f[4] }
  if claim.version ~= VERSION then return claim end
  claim.is_live = claim.state == 'starting' or claim.state == 'running'
  claim.lease = tonumber(f[6]) or 0
  claim.deadline, claim.watched = tonumber(f[5]) or 0, tonumber(f[7]) or 0
  claim.first_late, claim.last_late, claim.ended_by = tonumber(f[8]), tonumber(f[9]), f[10]
  claim.kept_since, claim.stop = tonumber(f[11]), f[12]
  if claim.deadline > now + claim.lease then
    claim.deadline = now + claim.lease
    redis.call('HSET', key, 'l', claim.deadline)
  end
  if claim.watched > latest_watch(claim) then
    claim.watched = latest_watch(claim)
    redis.call('HSET', key, 'w', claim.watched)
  end
  return claim
end

-- Returns the reply for a claim that another version of the protocol wrote, or nil.
local function refuse_version(claim)
  if claim and claim.version ~= VERSION then return { 'version', claim.version } end
end

-- Makes a key expire after `ttl`. Scripts also call this before they create a key: a user without
-- the permission then changes nothing, and leaves no key that never expires. No time makes this
-- fail.
local function keep(key, ttl)
  redis.call('PEXPIRE', key, math.min(ttl, MAX_TTL))
end

-- Fails if the user lacks a permission without which owners cannot renew their leases.
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

-- Returns whether the server has lost the claim of a run whose stream has no end. In an older
-- state, the key has no run, or an earlier one. Epochs are numbers in base 36 without leading zeros,
-- and rise from run to run, unless the clocks of processes differ.
local function has_lost(claim, epoch)
  if not claim then return true end
  if not claim.epoch or claim.epoch == epoch then return false end
  if #claim.epoch ~= #epoch then return #claim.epoch < #epoch end
  -- `<` compares strings in the order of the server's locale, where letters can precede digits.
  for i = 1, #epoch do
    local found, expected = string.byte(claim.epoch, i), string.byte(epoch, i)
    if found ~= expected then return found < expected end
  end
end

-- `live` is the key of the live runs of the process.
local function create_claim(key, epoch, process, lease, ttl, live)
  keep(key, math.max(ttl, MIN_TTL))
  redis.call('DEL', key)
  redis.call('HSET', key, 'v', VERSION, 'e', epoch, 'p', process, 's', 'starting',
    'l', now + lease, 'd', lease, 'w', 0)
  keep(key, math.max(ttl, MIN_TTL))
  redis.call('HSET', live, key .. ':' .. epoch, '')
  keep(live, math.max(ttl, LIST_TTL))
end

-- Removes a run from those that another process reports if the owner dies. Without the permission,
-- that process can report the run again once another one has its key or its claim has expired.
local function remove_live(live, stream)
  redis.pcall('HDEL', live, stream)
end

-- Tells the owner of a run that another run has taken its key, so that the owner deletes its stream.
local function publish_replacement(control, claim)
  redis.call('PUBLISH', control .. tostring(claim.process), '-' .. tostring(claim.epoch))
end

-- Returns whether the owner of a live run is `live`, `late` or `dead`, and, for a late owner, the
-- time after which the caller looks again.
--
-- A late owner is dead only if it was late at several looks in a row, over the whole grace period:
-- after Redis was away, or a permission was missing, owners need time to renew their leases. A
-- process whose own connection is new waits for a whole lease.
local function liveness(key, claim, is_new_connection)
  if claim.deadline >= now then return 'live', 0 end
  require_permissions(key)
  local grace = math.max(claim.lease * 3 / 8, MIN_GRACE)
  local first, last = claim.first_late, claim.last_late
  local is_in_a_row = first and last and first > claim.deadline and first <= now
    and last <= now and now - last <= grace
  if not is_in_a_row then first = now end
  redis.call('HSET', key, 'x', first, 'y', now)
  local needed = is_new_connection and math.max(claim.lease, grace) or grace
  if now - first >= needed then return 'dead', 0 end
  return 'late', math.ceil(math.min(grace / 2, needed - (now - first)))
end

-- Keeps `data` until a process can keep it again, but for a shorter time than renewals keep a live
-- run's claim: if the clock jumps so far that the claim expires, `data` expires too.
local function keep_data(data, lease)
  redis.call('HSET', data, 't', now)
  keep(data, math.max(lease, MIN_TTL / 3))
end

-- Returns whether the clock was set back after `data` was kept. `data` can then outlive claims that
-- owners have kept since, so its presence does not show that the claims have not expired.
local function was_set_back(kept_at)
  return kept_at and tonumber(kept_at) > now + MIN_TTL / 3
end

-- Returns a text that changes if the server may have the claims and the `data` of an earlier time. It
-- has the server's id, the counts of the commands that swap databases or change the server's role,
-- and the id of its replication history.
--
-- Redis draws another history id, and clears the second one, for the first replica and some time after
-- the last one has left. A replica that takes over keeps its earlier id as the second one, so only
-- such a server's history id counts. It comes last: a text without it is a prefix of one with it.
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

-- Returns whether the server still has the data that it had when this history was recorded.
local function is_same(recorded)
  local now = history()
  return string.sub(recorded or '', 1, #now) == now
end

-- Records that the server has lost data. From this call on, owners have a lease to restore their
-- claims.
local function begin_restoring(data, lease)
  redis.call('HSET', data, 'u', now + lease, 'd', lease, 's', history())
  keep_data(data, lease)
end

-- Returns whether an owner may still restore a claim that the server has lost. Such a server has
-- lost `data` too, which each process keeps while it is connected. `is_kept` leaves out the
-- history, which takes longer than all else.
local function is_restoring_claims(data, lease, everyone, is_kept)
  local f = redis.call('HMGET', data, 'u', 'd', 't', 's')
  local deadline, duration = tonumber(f[1]), tonumber(f[2]) or 0
  if not deadline or was_set_back(f[3]) or not is_kept and not is_same(f[4]) then
    begin_restoring(data, lease)
    redis.call('PUBLISH', everyone, '')
    return true
  end
  local kept_at = tonumber(f[3]) or now
  -- A deadline that is further away than its duration was written before the clock was set back.
  if deadline > now + duration then
    deadline = now + duration
    redis.call('HSET', data, 'u', deadline)
  -- The clock may have jumped ahead since a process kept `data`. Of what was left then, only the time
  -- between two renewals has passed.
  elseif deadline > kept_at and now > kept_at + duration / 2 then
    local left = math.min(deadline - kept_at, duration) - math.floor(duration / 4)
    deadline = now + math.max(left, 0)
    redis.call('HSET', data, 'u', deadline)
    keep_data(data, lease)
  end
  return deadline > now
end

-- Returns the sequence number of the newest event of a stream, and the outcome and the head if the run
-- ended.
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
