-- Gives a queue lanes, if it has none: from now on no script without flow leases from it (S:ready:x, S:batch:C). What is there stays in
-- the plain lane, what runs is counted.
local flowed, began = redis.call('HGET', stem, 'flow'), false
if not flowed then
  flowed, began = struct.pack('>BI6', 0, 140737488355328) .. '/', true
  redis.call('HSET', stem, 'flow', flowed)
end
--#include flow.lua
--#include tools.lua
local t = tools()
if began then
  redis.call('SET', stem .. ':ready:x', 'flow')
  if not redis.call('HGET', stem, 'lease') then t.put('lease', 30000) end
  local known = redis.call('HGET', stem, 'priorities') or ''
  t.put('priorities', 'x0123456789')
  for _, consumer in ipairs(redis.call('ZRANGE', stem .. ':consumers', 0, -1)) do f.adopt(consumer) end
  for p in string.gmatch(known, '%d') do
    f.know(p)
    if redis.call('EXISTS', stem .. ':ready:' .. p) == 1 then f.enter(p, '0::') end
  end
end
f.open_gates()
