-- Makes a consumer known, with a lease from now.
-- KEYS[1]  stem of the queue
-- ARGV     1 consumer, 2 ms of lease, 3 poison delays in ms with commas, 4 most dead letters, 5 ms that they are kept
-- returns  1; 0 if the consumer was closed or fenced
--#include now.lua
--#flow flowed.lua
--#include tools.lua
local t = tools()
local holder = t.holder(ARGV[1])
if redis.call('HGET', holder.key, 'fenced') then return 0 end
--#flow: f.flush()
if holder.known then return 1 end
-- The stamp may be from before the queue fell asleep: unless the gap is applied before the new deadline is written, the
-- next exchange would add it to that, too.
t.stamp()
t.put('lease', ARGV[2])
redis.call('RPUSH', holder.batch, struct.pack('>I7I7I4I7B', 0, 0, 0, 0, 0))
--#flow: redis.call('RPUSH', stem .. ':batch:' .. ARGV[1], '~')
redis.call('HSET', holder.key, 'lease', ARGV[2], 'poison', ARGV[3], 'dead_limit', ARGV[4], 'dead_age', ARGV[5])
redis.call('ZADD', stem .. ':consumers', t.digits(now + tonumber(ARGV[2])), ARGV[1])
t.soon(now + tonumber(ARGV[2]))
--#flow: f.flush()
return 1
