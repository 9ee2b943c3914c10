-- A step of a look through what is leased. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     1 bytes that a payload holds (empty: any), 2 most to find, then consumer and receipt of each to go through
-- returns  {gone through, now in ms, index (from 0), element, ...}
--#include now.lua
--#plain
--#include guard.lua
--#end
local wanted, most = ARGV[1], tonumber(ARGV[2])
--#include holds.lua
--#flow: local lot
local found, gone, consumer, base, left = {0, now}, 0, nil, 0, 0
for i = 3, #ARGV, 2 do
  if #found - 2 >= 2 * most or room <= 0 then break end
  if ARGV[i] ~= consumer then
    consumer, base, left = ARGV[i], 0, 0
    local head = redis.call('LINDEX', stem .. ':batch:' .. consumer, 0)
    --#flow: lot = ':batch:'
    --#flow: if head == '~' then lot, head = ':lot:', redis.call('LINDEX', stem .. ':lot:' .. consumer, 0) end
    if head then base, left = select(2, struct.unpack('>I7I7I4', head)) end
  end
  local receipt, element = tonumber(ARGV[i + 1]), nil
  if receipt >= base and receipt < base + left then
    --#flow: element = redis.call('LINDEX', stem .. lot .. consumer, receipt - base + 1)
    --#plain
    element = redis.call('LINDEX', stem .. ':batch:' .. consumer, receipt - base + 1)
    --#end
  else
    element = redis.call('HGET', stem .. ':held:' .. consumer, ARGV[i + 1])
  end
  if element then
    if holds(element) then found[#found + 1], found[#found + 2] = gone, element end
    room = room - #element
  end
  gone = gone + 1
end
found[1] = gone
return found
