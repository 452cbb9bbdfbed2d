-- Returns a page of a run's stream. A page that begins with the head has at least one more entry,
-- if there is one: the head has no events, so it does not show where the next page begins.
--
-- An event that is larger than a page is the last entry of its page, which has a part of it. There
-- are at most 16 parts, because each costs a copy of the event.
--
-- KEYS: stream
-- ARGV: first id, maximum number of bytes, maximum number of entries, number of bytes before the
--       part, number of the command
--
-- Returns the number of the command, and the page or the error of the stream. A page has whether
-- there is nothing behind it (0, 1), the entries, and the size of the event of which it has a part
-- (0: all events are whole).
local stream, from, limit, most = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local bytes, read, command = limit, tonumber(ARGV[4]), tonumber(ARGV[5])

local entries, count = {}, 1
while true do
  local found = redis.pcall('XRANGE', stream, from, '+', 'COUNT', count)
  if found.err then return { command, found } end
  for _, entry in ipairs(found) do
    for _, field in ipairs(entry[2]) do bytes = bytes - #field end
    local is_page = #entries > 1 or #entries == 1 and entries[1][1] ~= '0-1'
    if is_page and (bytes < 0 or #entries == most) then return { command, { 0, entries, 0 } } end
    entries[#entries + 1] = entry
    local length = entry[2][3] == 'd' and #entry[2][4] or 0
    if length > limit then
      local size = math.max(limit, math.ceil(length / 16))
      entry[2][4] = string.sub(entry[2][4], read + 1, read + size)
      return { command, { 0, entries, length } }
    end
    from = '(' .. entry[1]
  end
  if #found < count then return { command, { 1, entries, 0 } } end
  -- Each read asks for twice as many entries, because it is unknown how many fill a page: most have
  -- between a hundred bytes and 64 KiB.
  count = count * 2
end
