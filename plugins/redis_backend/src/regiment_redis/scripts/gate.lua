-- Closes or opens a gate.
-- KEYS[1]  stem of the queue
-- ARGV     1 spot, 2 ms for which it is closed, "inf" (until it is opened), or 0
-- returns  1
--#include now.lua
--#include begin.lua
--#include census.lua
local gates, spot = stem .. ':gates', ARGV[1]
local ms = ARGV[2] == 'inf' and math.huge or tonumber(ARGV[2])
if ms == 0 then
  redis.call('ZREM', gates, 'g' .. spot)
  list_spot(spot, redis.call('ZSCORE', stem .. ':ruled', spot))
  open_again(spot)
elseif redis.call('ZSCORE', gates, 'g' .. spot) ~= 'inf' then
  f.close('g' .. spot, f.now + ms)
  list_spot(spot, true)
  -- Who waits is told the time anew.
  if ms < math.huge then f.handed = true end
end
f.flush()
t.rouse()
return 1
