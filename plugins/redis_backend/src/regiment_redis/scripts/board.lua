-- The notices of a queue. Reads only.
-- KEYS[1]  stem of the queue
-- returns  {version, paused (0, 1), cancelled ids}
local queue = redis.call('HMGET', KEYS[1], 'version', 'paused')
return {tonumber(queue[1]) or 0, queue[2] and 1 or 0, redis.call('SMEMBERS', KEYS[1] .. ':cancelled')}
