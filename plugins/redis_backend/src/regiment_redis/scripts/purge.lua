-- Deletes what is ready or delayed; user-given ids of those are free again when their window has passed.
-- KEYS[1]  stem of the queue
-- returns  how many
--#include now.lua
--#plain
--#include guard.lua
--#end
--#flow flowed.lua
--#include tools.lua
local t, many = tools(), 0
local ids = redis.call('HGET', stem, 'ids')
local function forget(elements)
  for _, element in ipairs(elements) do
    local id = t.open(element).id
    if id ~= '' then t.unlive(id) end
  end
end
for priority in string.gmatch(redis.call('HGET', stem, 'priorities') or '', '%d') do
  local list = stem .. ':ready:' .. priority
  local length = redis.call('LLEN', list)
  many = many + length
  if ids then
    for from = 0, length - 1, 1000 do forget(redis.call('LRANGE', list, from, from + 999)) end
  end
  redis.call('UNLINK', list)
end
--#flow purged.lua
many = many + redis.call('ZCARD', stem .. ':delayed')
if ids then forget(redis.call('HVALS', stem .. ':bodies')) end
redis.call('UNLINK', stem .. ':delayed', stem .. ':bodies')
--#flow: f.flush()
return many
