-- Brings back, from the end on, what lies aside (aside.lua).
-- KEYS[1]  stem of the queue
-- ARGV     1 how many to move at most (fewer, if they are large)
-- returns  one more than lie aside still; 0: that was all
--#include now.lua
--#include tools.lua
local t, aside, many = tools(), redis.call('HGET', stem, 'aside'), tonumber(ARGV[1])
if not aside then return 0 end
local digit, of = string.sub(aside, 1, 1), string.sub(aside, 2, 2)
local list, own, front = stem .. ':ready:' .. digit, {}, {}
many = math.max(1, math.min(many, math.floor(1048576 / #(redis.call('LINDEX', list, -1) or '-'))))
for i, element in ipairs(redis.call('LRANGE', list, -many, -1)) do
  -- Somebody may have begun to use that priority meanwhile.
  if string.byte(element) % 16 == tonumber(of) then front[#front + 1] = {i, element} else own[#own + 1] = element end
end
redis.call('LTRIM', list, 0, -many - 1)
if #front > 0 then
  t.front(front)
  t.each('RPUSH', list, own)
  return redis.call('LLEN', list) + 1
end
t.each('RPUSH', list, own)
redis.call('HDEL', stem, 'aside')
local known = string.gsub(redis.call('HGET', stem, 'priorities'), digit, '')
t.put('priorities', known)
if #own > 0 then t.know(digit) end
return 0
