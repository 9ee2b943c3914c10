-- The lanes of a purge; what has a key lies in S:bodies.
--#include lanes.lua
redis.call('HDEL', stem .. ':flow', 'w')
each_lane('', '', '', function(p, spot, key)
  if spot ~= '0::' then
    local length = redis.call('LLEN', key)
    many = many + length
    if ids then
      for from = 0, length - 1, 1000 do
        local elements = {}
        for i, element in ipairs(redis.call('LRANGE', key, from, from + 999)) do elements[i] = resolve(element) end
        forget(elements)
      end
    end
    redis.call('UNLINK', key)
  end
  return true
end)
for _, element in ipairs(redis.call('HVALS', stem .. ':bodies')) do
  local part = f.key_of(element)
  if part then f.free(part) end
end
local pools = redis.call('ZRANGE', stem .. ':pools', 0, -1)
pools[#pools + 1] = ''
for _, name in ipairs(pools) do
  local pool = pool_spot(name)
  redis.call('HDEL', stem .. ':flow', 'w' .. pool)
  for _, lane in ipairs(redis.call('ZRANGE', stem .. ':lanes:' .. pool, 0, -1)) do
    redis.call('HDEL', stem .. ':flow', 'd' .. pool .. ':' .. lane)
  end
  redis.call('UNLINK', stem .. ':lanes:' .. pool)
  for digit = 0, 9 do redis.call('UNLINK', stem .. ':ring:' .. digit .. ':' .. pool) end
  if redis.call('HEXISTS', stem .. ':flow', 'r' .. pool) == 0 then redis.call('ZREM', stem .. ':pools', name) end
end
for digit = 0, 9 do redis.call('UNLINK', stem .. ':ring:' .. digit) end
redis.call('UNLINK', stem .. ':off')
f.plain = ''
