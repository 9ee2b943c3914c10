-- Applies what waited in the outbox of another place. Begins with a removal (see tools): a full server takes it.
-- KEYS[1]  stem of the queue
-- ARGV     token and packed effects (effects.lua) of each entry; a token is remembered for an hour
-- returns  board version
--#include now.lua
--#flow begin.lua
--#flow admitting.lua
--#plain
--#include tools.lua
--#end
--#include effects.lua
tools()
for i = 1, #ARGV, 2 do
  if redis.call('SET', stem .. ':relayed:' .. ARGV[i], '', 'NX', 'PX', 3600000) then
    local list = cmsgpack.unpack(ARGV[i + 1])
    effects().leave(list, 1, #list)
  end
end
--#flow: f.flush()
made.rouse()
return tonumber(redis.call('HGET', stem, 'version')) or 0
