-- Keeps a part of a large event until all parts have arrived. The first part replaces those of an
-- earlier attempt.
--
-- KEYS: parts
-- ARGV: position (the first is 1), part, ttl
--
-- Returns 1, or 0 if earlier parts are missing.
local parts, position, ttl = KEYS[1], tonumber(ARGV[1]), ARGV[3]
if position == 1 then
  redis.call('DEL', parts)
elseif redis.call('XLEN', parts) ~= position - 1 then
  return 0
end
redis.call('PEXPIRE', parts, ttl)
redis.call('XADD', parts, position .. '-0', 'd', ARGV[2])
redis.call('PEXPIRE', parts, ttl)
return 1
