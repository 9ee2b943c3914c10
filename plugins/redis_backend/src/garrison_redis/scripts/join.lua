-- Makes a consumer known, with a lease from now.
-- KEYS[1]  stem of the queue
-- ARGV     1 consumer, 2 ms of lease, 3 poison delays in ms with commas, 4 most dead letters, 5 ms that they are kept
-- returns  1; 0 if the consumer was closed or fenced
--#include now.lua
--#include tools.lua
local key = stem .. ':consumer:' .. ARGV[1]
local known = redis.call('HMGET', key, 'turn', 'fenced')
if known[2] then return 0 end
if known[1] then return 1 end
local t = tools()
-- The stamp may be from before the queue fell asleep: unless the gap is applied before the new deadline is written, the
-- next exchange would add it to that, too.
t.stamp()
redis.call('HSET', key, 'turn', 0, 'base', 0, 'left', 0, 'granted', '', 'lease', ARGV[2], 'poison', ARGV[3],
  'dead_limit', ARGV[4], 'dead_age', ARGV[5])
redis.call('HSET', stem, 'lease', ARGV[2])
redis.call('ZADD', stem .. ':consumers', now + tonumber(ARGV[2]), ARGV[1])
return 1
