-- Changes notices and wakes all who wait.
-- KEYS[1]  stem of the queue
-- ARGV     1 paused ("1", "0", or empty: unchanged), 2 number of ids to cancel, these, then ids to clear
-- returns  the new version
--#include now.lua
--#include tools.lua
local t, many = tools(), tonumber(ARGV[2])
if ARGV[1] == '1' then t.put('paused', 1) end
if ARGV[1] == '0' then t.unset('paused') end
for i = 3, #ARGV do redis.call(i < 3 + many and 'SADD' or 'SREM', stem .. ':cancelled', ARGV[i]) end
local version = redis.call('HINCRBY', stem, 'version', 1)
t.put('version', version)
t.wake(1000000)
return version
