-- The slices of a queue (record.lua).
-- KEYS[1]  stem of the queue
-- ARGV     1 step, 2 seconds back, 3 seconds of a slice, 4 seconds of a hash of them
-- returns  for each slice, the oldest first: {when it begins, name, its numbers, name, its numbers, ...}
--#include now.lua
local found = {}
local function add(at, slice)
  local row = {at}
  for name, numbers in pairs(cmsgpack.unpack(slice)) do
    row[#row + 1] = name
    row[#row + 1] = numbers
  end
  found[#found + 1] = row
end
if ARGV[1] == 'ever' then
  local slice = redis.call('GET', stem .. ':past:ever')
  if slice then add(0, slice) end
  return found
end
local seconds, length, hash = tonumber(clock[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local since = seconds - tonumber(ARGV[2]) - length
local slices = {}
for number = math.floor(math.max(since, 0) / hash), math.floor(seconds / hash) do
  local all = redis.call('HGETALL', stem .. ':past:' .. ARGV[1] .. ':' .. string.format('%.0f', number))
  for i = 1, #all, 2 do
    local at = tonumber(all[i])
    if at > since then slices[#slices + 1] = {at, all[i + 1]} end
  end
end
table.sort(slices, function(a, b) return a[1] < b[1] end)
for _, one in ipairs(slices) do add(one[1], one[2]) end
return found
