-- Who holds how much. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     consumers, or nothing
-- returns  without consumers their names; else for each {first receipt of its batch, how many follow, how many in its hash}
--#include now.lua
--#plain
--#include guard.lua
--#end
if #ARGV == 0 then return redis.call('ZRANGE', stem .. ':consumers', 0, -1) end
local found = {}
for i = 1, #ARGV do
  local head, base, left = redis.call('LINDEX', stem .. ':batch:' .. ARGV[i], 0), 0, 0
  --#flow: if head == '~' then head = redis.call('LINDEX', stem .. ':lot:' .. ARGV[i], 0) end
  if head then base, left = select(2, struct.unpack('>I7I7I4', head)) end
  found[i] = {base, left, redis.call('HLEN', stem .. ':held:' .. ARGV[i])}
end
return found
