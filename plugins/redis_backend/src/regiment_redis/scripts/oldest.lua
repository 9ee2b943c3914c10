-- The oldest of those that are first in their lanes, of the first 1,000 lanes.
do
  --#include lanes.lua
  local most = 1000
  each_lane('', '', '', function(p, spot, key)
    most = most - 1
    local first = redis.call('LINDEX', key, 0)
    local at = first and math.floor(struct.unpack('>I7', first, 2) / 1000)
    if at then oldest = math.min(oldest or at, at) end
    return most > 0
  end)
end
