local key, announced = KEYS[1], ARGV[#ARGV]
local entry = redis.call('XRANGE', key, announced, announced)[1]
if not entry or entry[2][#entry[2] - 1] ~= 'end' then return -1 end
local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
now = math.max(now, tonumber(string.match(newest[1], '^%d+')))
local age = now - tonumber(string.match(announced, '^%d+'))
local notice, validity = tonumber(ARGV[1]), tonumber(ARGV[2])
if age < notice then return notice - age end
if age > validity then return -1 end
local id = string.format('%.0f-*', now)
return redis.call('XADD', key, 'MAXLEN', '~', ARGV[3], id, unpack(ARGV, 4, #ARGV - 1))
