local command, from, to = ARGV[1], ARGV[2], ARGV[3]
local entry = redis.call(command, KEYS[1], from, to, 'COUNT', 1)[1]
return entry and entry[1]
