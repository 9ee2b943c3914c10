-- The short way of apply.lua for what a push with a plugin mostly is: one task without an id that is due now, and records beside
-- its queue that are not listed. The first write can be refused for lack of memory; then nothing has happened.
-- KEYS[1]  stem of the queue
-- ARGV     1 token, 2 ms that it is remembered, 3 priority, 4 payload, then ms-or-empty, key and body of each record
-- returns  version of what was kept; the same for a token seen before
--#include now.lua
--#include tools.lua
--#include effects.lua
local begun
--#include begun.lua
local token, said = stem .. ':applied:' .. ARGV[1], string.format('%.0f:', begun.version)
if not redis.call('SET', token, said, 'NX', 'PX', ARGV[2]) then
  return string.match(redis.call('GET', token), '^%d+')
end
local any, e = false, nil
for i = 5, #ARGV, 3 do
  local ttl, key, body = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  --#include set.lua
  any = any or put
  if put and begun.followed then
    e = e or effects(begun)
    e.kept(begun, key, ttl, body)
  end
end
local version = any and string.format('%.0f', begun.version) or '0'
if version .. ':' ~= said then redis.call('SET', token, version .. ':', 'PX', ARGV[2]) end
local priority, known = ARGV[3], redis.call('HGET', stem, 'priorities')
if not (known and string.find(known, priority, 1, true)) then tools().know(priority) end
local place = struct.pack('>I7I2', clock[1] * 1000000 + clock[2], 0)
redis.call('RPUSH', stem .. ':ready:' .. priority, string.char(tonumber(priority)) .. place .. ARGV[4])
if redis.call('EXISTS', stem .. ':waiting') == 1 then tools().wake(1) end
return version
