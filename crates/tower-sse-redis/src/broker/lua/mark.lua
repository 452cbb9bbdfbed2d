local key, read = KEYS[1], ARGV[1]
local newest_at, nonce = tonumber(ARGV[2]), ARGV[3]
if read == 'empty' then
  if redis.call('XLEN', key) > 0 then return false end
else
  for _, entry in ipairs(redis.call('XRANGE', key, '(' .. read, '+', 'COUNT', 1000)) do
    if entry[2][1] == 'gap' then return false end
  end
end
local time = redis.call('TIME')
local next = time[1] * 1000 + math.floor(time[2] / 1000) + 1
local counter = time[2] % 1000 * 512
local lead = newest_at - next
if lead >= 0 then
  local step = 1024
  while step * 8 <= lead do step = step * 2 end
  next = next + lead - lead % step + step
end
local id = string.format('%.0f-%.0f', next, counter)
local added = redis.pcall('XADD', key, id, 'gap', nonce)
if type(added) == 'table' then return redis.call('XADD', key, '*', 'gap', nonce) end
return added
