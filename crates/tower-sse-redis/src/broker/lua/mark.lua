local key, read = KEYS[1], ARGV[1]
local newest_at, newest_counter = tonumber(ARGV[2]), tonumber(ARGV[3])
local step, nonce = tonumber(ARGV[4]), ARGV[5]
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
if newest_at >= next then
  local microseconds = time[1] * 1000000 + time[2]
  counter = math.floor(microseconds % 1048576 / 2)
  next = newest_at + (counter > newest_counter and 0 or 1)
  next = next + (math.floor(microseconds / 1048576) - next) % step
end
local id = string.format('%.0f-%.0f', next, counter)
local added = redis.pcall('XADD', key, id, 'gap', nonce)
if type(added) == 'table' then return redis.call('XADD', key, '*', 'gap', nonce) end
return added
