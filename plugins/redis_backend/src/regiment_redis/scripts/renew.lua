-- Extends leases; never shortens one.
-- KEYS[1]  stem of the queue
-- ARGV     1 ms from now, then the consumers
-- returns  {those that are not known, those that are fenced}
--#include now.lua
--#flow flowed.lua
--#include tools.lua
local t, unknown, fenced, scores = tools(), {}, {}, {}
t.stamp()
local deadline = now + tonumber(ARGV[1])
for i = 2, #ARGV do
  local known = redis.call('HMGET', stem .. ':consumer:' .. ARGV[i], 'lease', 'fenced', 'out')
  if known[2] then
    fenced[#fenced + 1] = ARGV[i]
  elseif not known[1] then
    unknown[#unknown + 1] = ARGV[i]
  elseif known[3] then
    t.back_in(t.holder(ARGV[i]), deadline)
  else
    scores[#scores + 1] = t.digits(deadline)
    scores[#scores + 1] = ARGV[i]
  end
end
for from = 1, #scores, 1000 do
  redis.call('ZADD', stem .. ':consumers', 'GT', unpack(scores, from, math.min(from + 999, #scores)))
end
--#flow: f.flush()
--#effects: do return {unknown, fenced, tonumber(redis.call('HGET', stem, 'version')) or 0} end
return {unknown, fenced}
