-- The first tasks of a state. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     1 "ready", "delayed" or "leased", 2 most
-- returns  a list of {payload, priority, ms until due, count, consumer or empty}
--#include now.lua
--#plain
--#include guard.lua
--#end
--#flow lanes.lua
--#include element.lua
local found, most = {}, tonumber(ARGV[2])
local function add(element, due, consumer)
  local task = open(element)
  found[#found + 1] = {task.payload, task.priority, due, task.count, consumer}
end
--#flow: local inner = ARGV[1] == 'ready' and 'lanes' or ARGV[1]
--#flow: if inner == 'lanes' then each_lane('', '', '', function(p, spot, key) for _, element in ipairs(redis.call('LRANGE', key, 0, most - #found - 1)) do add(resolve(element), 0, '') end return #found < most end) return found end
if ARGV[1] == 'ready' then
  for priority in string.gmatch(redis.call('HGET', stem, 'priorities') or '', '%d') do
    if #found >= most then break end
    local list = redis.call('LRANGE', stem .. ':ready:' .. priority, 0, most - #found - 1)
    for _, element in ipairs(list) do add(element, 0, '') end
  end
elseif ARGV[1] == 'delayed' then
  local numbers = redis.call('ZRANGE', stem .. ':delayed', 0, most - 1, 'WITHSCORES')
  for i = 1, #numbers, 2 do
    local element = redis.call('HGET', stem .. ':bodies', numbers[i])
    if element then add(element, math.max(tonumber(numbers[i + 1]) - now, 0), '') end
  end
else
  for _, consumer in ipairs(redis.call('ZRANGE', stem .. ':consumers', 0, -1)) do
    if #found >= most then break end
    local all, batch = {}, redis.call('LRANGE', stem .. ':batch:' .. consumer, 0, most)
    --#flow: if batch[1] == '~' then batch = redis.call('LRANGE', stem .. ':lot:' .. consumer, 0, most) end
    local base = batch[1] and select(2, struct.unpack('>I7I7', batch[1])) or 0
    local held = redis.call('HGETALL', stem .. ':held:' .. consumer)
    for i = 1, #held, 2 do all[#all + 1] = {tonumber(held[i]), held[i + 1]} end
    for i = 2, #batch do all[#all + 1] = {base + i - 2, batch[i]} end
    table.sort(all, function(a, b) return a[1] < b[1] end)
    for i = 1, math.min(#all, most - #found) do add(all[i][2], 0, consumer) end
  end
end
return found
