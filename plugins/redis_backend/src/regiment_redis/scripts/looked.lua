-- A look through lanes: behind the 9 bytes of a place stands the spot of its lane, if that is not the plain one.
--#include lanes.lua
local start, at, behind_lane = ARGV[4], string.sub(ARGV[5], 1, 9), string.sub(ARGV[5], 10)
local pool, lane = '', ''
if behind_lane ~= '' then
  local size, name = string.match(behind_lane, '^(%d+):(.*)$')
  pool, lane = string.sub(name, 1, tonumber(size)), string.sub(name, tonumber(size) + 2)
end
local found, gone, over = {0, '-1', '', 0, now, 0}, 0, false
each_lane(start, pool, lane, function(p, spot, key)
  local own = spot == '0::' and '' or spot
  local index, length = 0, redis.call('LLEN', key)
  if p == start and own == behind_lane and at ~= '' then
    index = behind(key, {struct.unpack('>I7I2', at)}, tonumber(ARGV[6]))
  end
  gone = gone + 1
  while index < length do
    if #found - 6 >= most or gone > steps or room <= 0 then
      over = true
      return false
    end
    local element = resolve(redis.call('LINDEX', key, index))
    if holds(element) then found[#found + 1] = element end
    room, gone = room - #element, gone + 1
    found[2], found[3], found[4] = p, string.sub(element, 2, 10) .. own, index
    index = index + 1
  end
  return true
end)
found[1] = gone
if not over then found[2] = '-1' end
do return found end
