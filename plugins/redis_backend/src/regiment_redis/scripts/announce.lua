-- Publishes a presence record; those whose time has passed go.
-- KEYS[1]  stem of the presence records
-- ARGV     1 key, 2 value, 3 ms
-- returns  1
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1] .. ':until', '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1] .. ':until', key)
  redis.call('HDEL', KEYS[1] .. ':records', key)
end
redis.call('ZADD', KEYS[1] .. ':until', now + tonumber(ARGV[3]), ARGV[1])
redis.call('HSET', KEYS[1] .. ':records', ARGV[1], ARGV[2])
return 1
