-- Extends leases; never shortens one.
-- KEYS[1]  stem of the queue
-- ARGV     1 ms from now, then the consumers
-- returns  those that are not known or are fenced
--#include now.lua
--#include tools.lua
local t, lost = tools(), {}
t.stamp()
for i = 2, #ARGV do
  local key = stem .. ':consumer:' .. ARGV[i]
  local known = redis.call('HMGET', key, 'turn', 'fenced', 'out')
  if not known[1] or known[2] then
    lost[#lost + 1] = ARGV[i]
  else
    if known[3] then
      redis.call('HDEL', key, 'out')
      redis.call('PERSIST', key)
    end
    redis.call('ZADD', stem .. ':consumers', 'GT', now + tonumber(ARGV[1]), ARGV[i])
  end
end
return lost
