-- Extends leases; never shortens one.
-- KEYS[1]  stem of the queue
-- ARGV     1 ms from now, then the consumers
-- returns  {those that are not known, those that are fenced}
--#include now.lua
--#include tools.lua
local t, unknown, fenced = tools(), {}, {}
t.stamp()
for i = 2, #ARGV do
  local holder, deadline = t.holder(ARGV[i]), now + tonumber(ARGV[1])
  local known = redis.call('HMGET', holder.key, 'fenced', 'out')
  if known[1] then
    fenced[#fenced + 1] = ARGV[i]
  elseif not holder.known then
    unknown[#unknown + 1] = ARGV[i]
  elseif known[2] then
    t.back_in(holder, deadline)
  else
    redis.call('ZADD', stem .. ':consumers', 'GT', t.digits(deadline), ARGV[i])
  end
end
return {unknown, fenced}
