-- Clears the way to a task that lies deep in its list: what is in front of it moves, 500 at a time, to the list of a priority
-- that nobody uses, from which is leased first. Each step leaves the queue in order, so whoever stops here does no harm;
-- `aside` in the queue's hash (that priority, the real one) tells the next one what to bring back.
-- KEYS[1]  stem of the queue
-- ARGV     1 priority, 2 place, 3 how many may be left in front of it, 4 how many to move at most (fewer, if they are large)
-- returns  how many are left in the list; 0: the way is clear, or what was there is gone; -1: there is no such list to use
--#include now.lua
--#include tools.lua
local t, aside = tools(), redis.call('HGET', stem, 'aside')
local known = redis.call('HGET', stem, 'priorities') or ''
if not aside then
  for digit = 9, 0, -1 do
    if not string.find(known, digit, 1, true) then
      aside = digit .. ARGV[1]
      break
    end
  end
  if not aside then return -1 end
  redis.call('HSET', stem, 'aside', aside)
end
local digit, of = string.sub(aside, 1, 1), string.sub(aside, 2, 2)
if of ~= ARGV[1] then return -1 end
if not string.find(known, aside, 1, true) then t.put('priorities', (string.gsub(string.gsub(known, digit, ''), of, aside))) end
local list, many = stem .. ':ready:' .. of, tonumber(ARGV[4])
local us, number = struct.unpack('>I7I2', ARGV[2])
local edge = redis.call('LINDEX', list, tonumber(ARGV[3]))
if not edge then return 0 end
local at, nth = struct.unpack('>I7I2', edge, 2)
if at > us or at == us and nth >= number then return 0 end
many = math.max(1, math.min(many, math.floor(1048576 / #redis.call('LINDEX', list, 0))))
t.each('RPUSH', stem .. ':ready:' .. digit, redis.call('LRANGE', list, 0, many - 1))
redis.call('LTRIM', list, many, -1)
return redis.call('LLEN', list)
