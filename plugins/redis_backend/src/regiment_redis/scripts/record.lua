-- Adds what has ended to the slices of this minute, this hour and ever, each once:
-- S:past:minute:{hour}, S:past:hour:{day} (hashes, a field for each slice), S:past:ever; S:past:from:{source} has its last number.
-- KEYS[1]  stem of the queue
-- ARGV     1 source, 2 number, 3 ms to remember that, 4 most names, 5 the name of all others, 6 numbers for each name,
--          7 seconds that a minute is kept, 8 an hour, 9 ever; then for each name: itself and its numbers
-- returns  1; 0 if that number was taken before
--#include now.lua
local seconds, width, most = tonumber(clock[1]), tonumber(ARGV[6]), tonumber(ARGV[4])
local from = stem .. ':past:from:' .. ARGV[1]
if (tonumber(redis.call('GET', from)) or 0) >= tonumber(ARGV[2]) then return 0 end
redis.call('SET', from, ARGV[2], 'PX', ARGV[3])

local hour, many, known = math.floor(seconds / 3600), 0, {}
local oldest = hour - math.floor(tonumber(ARGV[9]) / 3600)
local ever = redis.call('GET', stem .. ':past:ever')
ever = ever and cmsgpack.unpack(ever) or {}
for name, row in pairs(ever) do
  if row[1] < oldest then
    ever[name] = nil
  else
    known[name] = true
    many = many + 1
  end
end

local more = {}
for at = 10, #ARGV, width + 1 do
  local name = ARGV[at]
  if not known[name] and many >= most then name = ARGV[5] end
  if not known[name] then
    known[name] = true
    many = many + 1
  end
  more[#more + 1] = {name, at}
end

local function added(slice)
  for _, one in ipairs(more) do
    local row = slice[one[1]] or {hour}
    row[1] = hour
    for i = 1, width do row[i + 1] = (row[i + 1] or 0) + tonumber(ARGV[one[2] + i]) end
    slice[one[1]] = row
  end
  return cmsgpack.pack(slice)
end

local function into(step, length, hash, kept)
  local key = stem .. ':past:' .. step .. ':' .. string.format('%.0f', math.floor(seconds / hash))
  local field = string.format('%.0f', seconds - seconds % length)
  local slice = redis.call('HGET', key, field)
  redis.call('HSET', key, field, added(slice and cmsgpack.unpack(slice) or {}))
  redis.call('PEXPIRE', key, string.format('%.0f', (kept + hash) * 1000))
end

redis.call('SET', stem .. ':past:ever', added(ever), 'EX', ARGV[9])
into('minute', 60, 3600, tonumber(ARGV[7]))
into('hour', 3600, 86400, tonumber(ARGV[8]))
return 1
