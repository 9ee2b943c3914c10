-- Keys of records kept with `listed`, the one that was kept last first. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     1 at most so many (-1: the place of the key), 2 a place: those before it (empty: from the newest on), 3 a key that
--          stands for its place
-- returns  place, key, place, key, ...
--#include now.lua
local listed, found, from = stem .. ':listed', {}, '+inf'
if ARGV[3] ~= '' then
  local place = redis.call('ZSCORE', listed, ARGV[3])
  if not place or redis.call('GETRANGE', stem .. ':kept:' .. ARGV[3], 14, 14) ~= '\1' then return found end
  if ARGV[1] == '-1' then return {place, ARGV[3]} end
  from = '(' .. place
elseif ARGV[2] ~= '' then
  from = '(' .. ARGV[2]
end
local many = 2 * tonumber(ARGV[1])
while #found < many do
  local some = redis.call('ZREVRANGEBYSCORE', listed, from, '-inf', 'WITHSCORES', 'LIMIT', 0, 100)
  if #some == 0 then break end
  for i = 1, #some, 2 do
    from = '(' .. some[i + 1]
    if redis.call('GETRANGE', stem .. ':kept:' .. some[i], 14, 14) == '\1' and #found < many then
      found[#found + 1] = some[i + 1]
      found[#found + 1] = some[i]
    end
  end
end
return found
