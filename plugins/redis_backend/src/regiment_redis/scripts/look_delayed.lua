-- A step of a look through what is delayed, in the order in which it is due. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     1 bytes that a payload holds (empty: any), 2 most to find, 3 most to go through, 4 due time in ms and 5 number of the
--          task to go on behind (empty: the head)
-- returns  {gone through, due, number, now, due, number, element, ...}; due -1: this was the end
--#include now.lua
--#plain
--#include guard.lua
--#end
local wanted, most, steps = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
--#include holds.lua
local delayed, bodies, rank = stem .. ':delayed', stem .. ':bodies', 0
local count = redis.call('ZCARD', delayed)
if ARGV[4] ~= '' then
  local due, number, high = tonumber(ARGV[4]), struct.unpack('>I6', ARGV[5]), count
  if tonumber(redis.call('ZSCORE', delayed, ARGV[5])) == due then
    rank = redis.call('ZRANK', delayed, ARGV[5]) + 1
    high = rank
  end
  while rank < high do
    local middle = math.floor((rank + high) / 2)
    local at = redis.call('ZRANGE', delayed, middle, middle, 'WITHSCORES')
    local score = tonumber(at[2])
    if score > due or score == due and struct.unpack('>I6', at[1]) > number then high = middle else rank = middle + 1 end
  end
end
local found, gone, largest = {0, ARGV[4], ARGV[5], now}, 0, 0
local some = steps > 0 and redis.call('ZRANGE', delayed, rank, rank + steps - 1, 'WITHSCORES') or {}
local i, many = 1, 0
while i < #some and many < most and room > 0 do
  local numbers = {}
  for n = 0, at_once((#some + 1 - i) / 2, largest) - 1 do numbers[n + 1] = some[i + 2 * n] end
  for _, element in ipairs(redis.call('HMGET', bodies, unpack(numbers))) do
    if many >= most or room <= 0 then break end
    if element then
      if holds(element) then
        many = many + 1
        found[#found + 1], found[#found + 2], found[#found + 3] = some[i + 1], some[i], element
      end
      largest, room = math.max(largest, #element), room - #element
    end
    found[2], found[3], gone, i = some[i + 1], some[i], gone + 1, i + 2
  end
end
found[1] = gone
if rank + gone >= count then found[2] = '-1' end
return found
