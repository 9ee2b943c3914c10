-- Keeps account of an act: S:acts has the tokens by time in us, S:acts:said what was done.
-- KEYS[1]  stem of the queue
-- ARGV     1 token, 2 entry, 3 most acts, 4 ms for which one is kept
-- returns  1
--#include now.lua
-- A removal first: so it is kept on a full server, too (tools.lua).
redis.call('HDEL', stem, '-')
local acts, said = stem .. ':acts', stem .. ':acts:said'
local since = (now - tonumber(ARGV[4])) * 1000
local function forget(tokens)
  if #tokens == 0 then return end
  redis.call('ZREM', acts, unpack(tokens))
  redis.call('HDEL', said, unpack(tokens))
end
forget(redis.call('ZRANGEBYSCORE', acts, '-inf', string.format('(%.0f', since), 'LIMIT', 0, 100))
if redis.call('HEXISTS', said, ARGV[1]) == 1 then return 1 end
local last = tonumber(redis.call('ZRANGE', acts, -1, -1, 'WITHSCORES')[2]) or 0
local at = math.max(clock[1] * 1000000 + clock[2], last + 1)
redis.call('ZADD', acts, string.format('%.0f', at), ARGV[1])
redis.call('HSET', said, ARGV[1], struct.pack('>I7', now) .. ARGV[2])
local over = redis.call('ZCARD', acts) - tonumber(ARGV[3])
if over > 0 then forget(redis.call('ZRANGE', acts, 0, math.min(over, 100) - 1)) end
redis.call('PEXPIRE', acts, ARGV[4])
redis.call('PEXPIRE', said, ARGV[4])
return 1
