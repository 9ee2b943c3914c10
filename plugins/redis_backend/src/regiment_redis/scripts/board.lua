-- The notices of a queue. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     1 ms after which a cancelled id is off the board
-- returns  {version, paused (0, 1), cancelled ids, those of them that are too old, whom and what of each order}
--#include now.lua
local queue, old = redis.call('HMGET', stem, 'version', 'paused'), string.format('%.0f', now - tonumber(ARGV[1]))
return {
  tonumber(queue[1]) or 0, queue[2] and 1 or 0, redis.call('SMEMBERS', stem .. ':cancelled'),
  redis.call('ZRANGEBYSCORE', stem .. ':cancelled:at', '-inf', '(' .. old), redis.call('HGETALL', stem .. ':orders'),
}
