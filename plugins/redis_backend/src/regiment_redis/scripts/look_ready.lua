-- A step of a look through what is ready, in the order in which it runs. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     1 bytes that a payload holds (empty: any), 2 most to find, 3 most to go through, 4 priority to go on with (empty: the
--          first), 5 place to go on behind (empty: the head), 6 index at which it was
-- returns  {gone through, priority, place, index, now in ms, element, ...}; priority -1: this was the end
--#include now.lua
local wanted, most, steps = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
--#include places.lua
--#include holds.lua
local lists, from, place, hint = ready_lists(), 1, nil, tonumber(ARGV[6])
local start = ARGV[4]
if start ~= '' then
  from = #lists + 1
  for i = #lists, 1, -1 do
    if lists[i][2] >= start then from = i end
  end
  for i = #lists, 1, -1 do
    if lists[i][2] == start then from = i end
  end
  if ARGV[5] ~= '' then place = {struct.unpack('>I7I2', ARGV[5])} end
end
local found, gone, last, current = {0, ARGV[4], ARGV[5], hint, now}, 0, '', nil
for i = from, #lists do
  local list, priority, index = lists[i][1], lists[i][2], 0
  if priority ~= current then current, last = priority, priority == start and ARGV[5] or '' end
  if priority == start and place then index = behind(list, place, hint) end
  local length, largest = redis.call('LLEN', list), nil
  while index < length do
    if #found - 5 >= most or gone >= steps or room <= 0 then
      found[1], found[2], found[3], found[4] = gone, priority, last, index - 1
      return found
    end
    for _, element in ipairs(redis.call('LRANGE', list, index, index + at_once(steps - gone, largest) - 1)) do
      if #found - 5 >= most or room <= 0 then break end
      if holds(element) then found[#found + 1] = element end
      largest, room, gone, index = math.max(largest or 0, #element), room - #element, gone + 1, index + 1
      last = string.sub(element, 2, 10)
    end
  end
end
found[1], found[2] = gone, '-1'
return found
