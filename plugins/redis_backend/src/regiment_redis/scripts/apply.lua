-- Effects without a lease: all of them or none. The first write can be refused for lack of memory; then nothing has happened.
-- KEYS[1]  stem of the queue
-- ARGV     1 token, 2 ms that it is remembered, 3 number of conditions, key and version of each, then effects (effects.lua)
-- returns  {1, version of what was kept, indexes left out as text with commas, board version, ms of the clock}; the same for a token seen before;
--          or {0, ms of the clock, record, record, ...} of the conditions, if one does not hold
--#include now.lua
local token = stem .. ':applied:' .. ARGV[1]
local known = redis.call('GET', token)
local function answer(said)
  local version, out = string.match(said, '^(%d+):(.*)$')
  return {1, version, out, tonumber(redis.call('HGET', stem, 'version')) or 0, now}
end
if known then return answer(known) end
--#flow begin.lua
--#flow admitting.lua
--#plain
--#include tools.lua
--#end
--#include effects.lua
local from = 4 + 2 * tonumber(ARGV[3])
local holds = true
for i = 4, from - 1, 2 do
  local record = redis.call('GETRANGE', stem .. ':kept:' .. ARGV[i], 0, 6)
  local version = #record == 7 and struct.unpack('>I7', record) or 0
  holds = holds and version == tonumber(ARGV[i + 1])
end
if not holds then
  local found = {0, now}
  for i = 4, from - 1, 2 do found[#found + 1] = redis.call('GET', stem .. ':kept:' .. ARGV[i]) end
  return found
end
redis.call('SET', token, '0:', 'PX', ARGV[2])
local e = effects()
e.leave(ARGV, from, #ARGV)
--#flow: f.flush()
if made then made.rouse() end
local said = string.format('%.0f:', e.version) .. table.concat(e.left_out, ',')
if said ~= '0:' then redis.call('SET', token, said, 'PX', ARGV[2]) end
return answer(said)
