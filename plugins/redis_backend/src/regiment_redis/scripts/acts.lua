-- What was done to a queue, newest first. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     1 most, 2 id to go on behind (empty: the newest), 3 ms for which an act is kept
-- returns  id, 7 bytes ms since the epoch and entry, id, ...
--#include now.lua
local behind, found = ARGV[2] == '' and '+inf' or '(' .. ARGV[2], {}
local since = string.format('%.0f', (now - tonumber(ARGV[3])) * 1000)
local some = redis.call('ZREVRANGEBYSCORE', stem .. ':acts', behind, since, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for i = 1, #some, 2 do
  found[i], found[i + 1] = some[i + 1], redis.call('HGET', stem .. ':acts:said', some[i])
end
return found
