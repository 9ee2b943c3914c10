-- A step of a look through what is ready, in the order in which it runs. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     1 bytes that a payload holds (empty: any), 2 most to find, 3 most to go through, 4 priority to go on with (empty: the
--          first), 5 place to go on behind (empty: the head), 6 index at which it was, 7 bytes of the largest so far (0: unknown)
-- returns  {gone through, priority, place, index, now in ms, bytes of the largest, element, ...}; priority -1: this was the end
--#include now.lua
--#plain
--#include guard.lua
--#end
local wanted, most, steps = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
--#include places.lua
--#include holds.lua
--#flow looked.lua
local lists, from, place, hint, largest = ready_lists(), 1, nil, tonumber(ARGV[6]), tonumber(ARGV[7])
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
local found, gone, last, current = {0, ARGV[4], ARGV[5], hint, now, 0}, 0, '', nil
for i = from, #lists do
  local list, priority, index = lists[i][1], lists[i][2], 0
  if priority ~= current then current, last = priority, priority == start and ARGV[5] or '' end
  local length, some = redis.call('LLEN', list), nil
  if priority == start and place then
    -- Where nobody has leased since, the one gone through last is still at its index: then this walk to it is the only one.
    if hint >= 0 and hint < length then some = redis.call('LRANGE', list, hint, hint + at_once(steps, largest)) end
    if some and string.sub(some[1], 2, 10) == ARGV[5] then
      index = hint + 1
    else
      index, some = behind(list, place, hint), nil
    end
  end
  while index < length do
    if #found - 6 >= most or gone >= steps or room <= 0 then
      found[1], found[2], found[3], found[4], found[6] = gone, priority, last, index - 1, largest
      return found
    end
    local first = some and 2 or 1
    some = some or redis.call('LRANGE', list, index, index + at_once(steps - gone, largest) - 1)
    for k = first, #some do
      local element = some[k]
      if #found - 6 >= most or gone >= steps or room <= 0 then break end
      if holds(element) then found[#found + 1] = element end
      largest, room, gone, index = math.max(largest, #element), room - #element, gone + 1, index + 1
      last = string.sub(element, 2, 10)
    end
    some = nil
  end
end
found[1], found[2] = gone, '-1'
return found
