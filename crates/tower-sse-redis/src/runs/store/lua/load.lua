-- Returns a page of a run's stream. A page that begins with the stream's first entry has at least
-- one more entry, if there is one: the first entry has no events, so it does not show where the
-- next page begins.
--
-- KEYS: stream
-- ARGV: first id, maximum number of bytes (unless it is one entry), maximum number of entries
--
-- whether there is nothing behind the page (0, 1), entries
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
  -- Each read asks for twice as many entries: an entry has between a hundred and 64 thousand bytes.
  count = count * 2
end
