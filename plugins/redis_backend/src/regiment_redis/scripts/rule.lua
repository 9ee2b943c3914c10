-- Sets or takes away a rule.
-- KEYS[1]  stem of the queue
-- ARGV     1 spot, 2 "c" (of the code) or "o" (an operator's), 3 what was given, to be told (empty: it is taken away), 4 what holds, as a
--          script reads it (flow.lua)
-- returns  1
--#include now.lua
--#include begin.lua
--#include census.lua
local rules, spot = stem .. ':rules', ARGV[1]
local before = {f.rule_of(spot)}
if ARGV[3] == '' then
  redis.call('HDEL', rules, ARGV[2] .. spot, string.upper(ARGV[2]) .. spot)
else
  redis.call('HSET', rules, ARGV[2] .. spot, ARGV[3], string.upper(ARGV[2]) .. spot, ARGV[4])
end
local packed = redis.call('HGET', rules, 'O' .. spot) or redis.call('HGET', rules, 'C' .. spot)
if packed then redis.call('HSET', rules, 'e' .. spot, packed) else redis.call('HDEL', rules, 'e' .. spot) end
-- Which kinds there are. S:ruled has the spots, sorted.
if packed then redis.call('ZADD', stem .. ':ruled', 0, spot) else redis.call('ZREM', stem .. ':ruled', spot) end
local flags = redis.call('HEXISTS', rules, 'e') == 1 and 1 or 0
local own = redis.call('HGET', stem, 'ruled_lanes')
if spot ~= '' and f.pool_of(spot) ~= spot then
  own = #redis.call('ZRANGEBYSCORE', stem .. ':ruled', 0, 0, 'LIMIT', 0, 1) > 0 and lanes_with_rules() or 0
  redis.call('HSET', stem, 'ruled_lanes', own)
end
own = tonumber(own) or 0
if redis.call('ZCARD', stem .. ':ruled') - flags - own > 0 then flags = flags + 2 end
if own > 0 then flags = flags + 4 end
f.set_flags(flags)
-- The name of a pool that has a rule is listed, that of a lane as well.
list_spot(spot, packed)
-- Whose lanes are counted has perhaps changed.
local was, is = before[1], f.rule_of(spot)
local function counts_lanes(rule)
  if spot == '' or f.pool_of(spot) == spot then rule = rule and rule[6] end
  return f.counted(rule) and true or false
end
if counts_lanes(was) ~= counts_lanes(is) then census(true) end
-- Its rate is judged anew, and whoever it kept out.
redis.call('ZREM', stem .. ':gates', 'r' .. spot)
open_again(spot)
f.flush()
t.rouse()
return 1
