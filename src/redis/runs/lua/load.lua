-- Returns a page of a run's stream, which has at least one entry besides the first one of the stream, if
-- there is one: a page of that alone would not tell how to go on.
--
-- KEYS: stream
-- ARGV: first id, maximum number of bytes (unless it is one entry), maximum number of entries
--
-- is nothing behind the page (0, 1), entries
local stream, from, bytes, most = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local entries, count = {}, 1
while true do
  local found = redis.call('XRANGE', stream, from, '+', 'COUNT', count)
  for _, entry in ipairs(found) do
    for _, field in ipairs(entry[2]) do bytes = bytes - #field end
    local is_page = #entries > 1 or #entries == 1 and entries[1][1] ~= '0-1'
    if is_page and (bytes < 0 or #entries == most) then return { 0, entries } end
    entries[#entries + 1] = entry
    from = '(' .. entry[1]
  end
  if #found < count then return { 1, entries } end
  -- Twice as many each time: an entry has between a hundred and 64 thousand bytes.
  count = count * 2
end
