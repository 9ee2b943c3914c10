-- Changes notices and wakes all who wait.
-- KEYS[1]  stem of the queue
-- ARGV     1 paused ("1", "0", or empty: unchanged), 2 most ids on the board, 3 ms after which an id is taken off it, 4 number of ids
--          to cancel, 5 number of ids to clear, these, then whom and what of each order (empty: it is taken back)
-- returns  the new version; or 0 minus the ids that would stand there, if those are too many: then nothing has happened
--#include now.lua
--#include tools.lua
local t, most, clear = tools(), tonumber(ARGV[2]), 6 + tonumber(ARGV[4])
local cancelled, since, orders = stem .. ':cancelled', stem .. ':cancelled:at', clear + tonumber(ARGV[5])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', since, '-inf', '(' .. t.digits(now - tonumber(ARGV[3])), 'LIMIT', 0, most)) do
  redis.call('SREM', cancelled, id)
  redis.call('ZREM', since, id)
end
-- How many there are in the end. What is on the board and what goes has to be known before the first of them changes.
local size, added, seen = 0, 0, {}
for i = orders - 1, 6, -1 do
  if not seen[ARGV[i]] then
    seen[ARGV[i]] = i >= clear and 'cleared' or 'cancelled'
    local there = redis.call('SISMEMBER', cancelled, ARGV[i]) == 1
    if i >= clear and there then size = size - 1 end
    if i < clear and not there then added = added + 1 end
  end
end
if added > 0 then
  size = size + added + redis.call('SCARD', cancelled)
  if size > most then return -size end
end
if ARGV[1] == '1' then t.put('paused', 1) end
if ARGV[1] == '0' then t.unset('paused') end
for i = clear, orders - 1 do
  redis.call('SREM', cancelled, ARGV[i])
  redis.call('ZREM', since, ARGV[i])
end
for i = 6, clear - 1 do
  if seen[ARGV[i]] ~= 'cleared' then
    redis.call('SADD', cancelled, ARGV[i])
    redis.call('ZADD', since, t.digits(now), ARGV[i])
  end
end
for i = orders, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', stem .. ':orders', ARGV[i])
  else
    redis.call('HSET', stem .. ':orders', ARGV[i], ARGV[i + 1])
  end
end
local version = redis.call('HINCRBY', stem, 'version', 1)
t.put('version', version)
t.wake(1000000)
return version
