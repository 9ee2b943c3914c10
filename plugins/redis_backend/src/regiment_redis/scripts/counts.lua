-- How many tasks are where. Reads only.
-- KEYS[1]  stem of the queue
-- returns  {ready, delayed, leased, dead, ms since the oldest ready one is ready or -1, consumers, paused (0, 1)}
--#include now.lua
--#plain
--#include guard.lua
--#end
local queue = redis.call('HMGET', stem, 'priorities', 'paused', 'dead_age')
local ready, leased, oldest = 0, 0, nil
for priority in string.gmatch(queue[1] or '', '%d') do
  local list = stem .. ':ready:' .. priority
  ready = ready + redis.call('LLEN', list)
  local first = redis.call('LINDEX', list, 0)
  if first then
    local at = math.floor(struct.unpack('>I7', first, 2) / 1000)
    oldest = math.min(oldest or at, at)
  end
end
--#flow: ready = ready + (tonumber(redis.call('HGET', stem .. ':flow', 'w')) or 0)
--#flow oldest.lua
local consumers = redis.call('ZRANGE', stem .. ':consumers', 0, -1)
for _, consumer in ipairs(consumers) do
  --#flow: leased = leased + math.max(redis.call('LLEN', stem .. ':lot:' .. consumer) - 1, 0)
  leased = leased + math.max(redis.call('LLEN', stem .. ':batch:' .. consumer) - 1, 0)
    + redis.call('HLEN', stem .. ':held:' .. consumer)
end
-- Letters that are too old are deleted by the next death; until then they do not count.
local since = string.format('[%014.0f', now - (tonumber(queue[3]) or 7776000000))
return {
  ready, redis.call('ZCARD', stem .. ':delayed'), leased, redis.call('ZLEXCOUNT', stem .. ':deaths', since, '+'),
  oldest and math.max(now - oldest, 0) or -1, #consumers, queue[2] and 1 or 0,
}
