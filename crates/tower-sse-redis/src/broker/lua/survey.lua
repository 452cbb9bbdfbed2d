local key, max_age, asks_memory = KEYS[1], tonumber(ARGV[1]), ARGV[2] == '1'
if max_age > 0 then
  local time = redis.call('TIME')
  local start = time[1] * 1000 + math.floor(time[2] / 1000) - max_age
  local end_of_old = string.format('%.0f', math.max(start - 1, 0))
  local kept = redis.call('XREVRANGE', key, end_of_old, '-', 'COUNT', 1)[1]
  if kept then redis.call('XTRIM', key, 'MINID', '=', kept[1]) end
end
local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
if not oldest then return false end
local memory = asks_memory and redis.pcall('MEMORY', 'USAGE', key)
if type(memory) ~= 'number' then memory = false end
return {redis.call('XLEN', key), oldest[1], memory}
