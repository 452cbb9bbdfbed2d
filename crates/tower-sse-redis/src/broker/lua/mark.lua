local key, read = KEYS[1], ARGV[1]
local newest_at, leap, nonce = tonumber(ARGV[2]), ARGV[3], ARGV[4]
if read == 'empty' then
  if redis.call('XLEN', key) > 0 then return false end
else
  for _, entry in ipairs(redis.call('XRANGE', key, '(' .. read, '+', 'COUNT', 1000)) do
    if entry[2][1] == 'gap' then return false end
  end
end
local time = redis.call('TIME')
local next = time[1] * 1000 + math.floor(time[2] / 1000) + 1
local id = string.format('%.0f-0', next)
if newest_at >= next then id = leap end
local added = redis.pcall('XADD', key, id, 'gap', nonce)
if type(added) == 'table' then return redis.call('XADD', key, '*', 'gap', nonce) end
return added
