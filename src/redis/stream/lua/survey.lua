local key, max_age, asks_memory = KEYS[1], tonumber(ARGV[1]), ARGV[2] == '1'
local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
if not newest then return false end
if max_age > 0 then
  local time = redis.call('TIME')
  local start = time[1] * 1000 + math.floor(time[2] / 1000) - max_age
  local minimum = newest[1]
  if start < tonumber(string.match(minimum, '^%d+')) then
    minimum = string.format('%.0f', math.max(start, 0))
  end
  redis.call('XTRIM', key, 'MINID', '=', minimum)
end
local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
local memory = asks_memory and redis.pcall('MEMORY', 'USAGE', key)
if type(memory) ~= 'number' then memory = false end
return {redis.call('XLEN', key), oldest[1], memory}
