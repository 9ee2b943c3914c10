-- Counts all that waits and runs anew, and puts right what is not so. Goes through all of it.
-- KEYS[1]  stem of the queue
-- returns  of each spot whose count was wrong: {spot, waiting, running}
--#include now.lua
--#include flowed.lua
--#include tools.lua
local t = tools()
f.open_gates()
--#include census.lua
--#include lanes.lua
f.flush()
-- Spots that stand not just once in a ring or aside though they have something, or that stand there though they have nothing.
local function check_rings()
  local wrong, stands, off = {}, {}, {}
  local all = redis.call('HGETALL', stem .. ':off')
  for i = 1, #all, 2 do
    for p in string.gmatch(all[i + 1], '%d') do stands[p .. all[i]] = (stands[p .. all[i]] or 0) + 1 end
  end
  local pools = redis.call('ZRANGE', stem .. ':pools', 0, -1)
  pools[#pools + 1] = ''
  for p = 0, 9 do
    for _, entry in ipairs(redis.call('LRANGE', stem .. ':ring:' .. p, 0, -1)) do
      local name = p .. string.sub(entry, 3)
      stands[name] = (stands[name] or 0) + 1
    end
    for _, name in ipairs(pools) do
      local pool = pool_spot(name)
      local entries = redis.call('LRANGE', stem .. ':ring:' .. p .. ':' .. pool, 0, -1)
      for _, entry in ipairs(entries) do
        local lane = p .. pool .. ':' .. string.sub(entry, 3)
        stands[lane] = (stands[lane] or 0) + 1
      end
      local there = (#entries > 0) and 1 or 0
      if (stands[p .. pool] or 0) ~= there then wrong[#wrong + 1] = pool end
      stands[p .. pool] = nil
    end
  end
  each_lane('', '', '', function(p, spot)
    if stands[p .. spot] ~= 1 and not (spot == '0::' and not stands[p .. spot]) then wrong[#wrong + 1] = spot end
    stands[p .. spot] = nil
    return true
  end)
  for name in pairs(stands) do wrong[#wrong + 1] = string.sub(name, 2) end
  return wrong
end
local counted, runs = {}, census(false)
local known = redis.call('HGETALL', stem .. ':flow')
for i = 1, #known, 2 do counted[known[i]] = tonumber(known[i + 1]) end
local truth = {w = 0}
each_lane('', '', '', function(p, spot, key)
  local n = redis.call('LLEN', key)
  if spot ~= '0::' then
    local pool = f.pool_of(spot)
    truth.w = truth.w + n
    if pool ~= '0:' then truth['w' .. pool] = (truth['w' .. pool] or 0) + n end
  end
  return true
end)
local numbers = redis.call('ZRANGE', stem .. ':delayed', 0, -1)
for _, number in ipairs(numbers) do
  local element = redis.call('HGET', stem .. ':bodies', number)
  local spot = element and f.spot(element) or '0::'
  if spot ~= '0::' then
    local pool = f.pool_of(spot)
    truth['d' .. spot] = (truth['d' .. spot] or 0) + 1
    if pool ~= '0:' then truth['w' .. pool] = (truth['w' .. pool] or 0) + 1 end
  end
end
for spot, n in pairs(runs) do
  local pool = spot ~= '' and f.pool_of(spot)
  if n > 0 and spot ~= '0:' and spot ~= '0::' and (not pool or pool == spot or f.counted(f.lane_rule(spot, pool))) then
    truth['r' .. spot] = n
  end
end
local wrong, fields = {}, {}
for field, n in pairs(truth) do fields[field] = true end
for field in pairs(counted) do fields[field] = true end
for field in pairs(fields) do
  if (truth[field] or 0) ~= (counted[field] or 0) then
    wrong[string.sub(field, 2)] = true
    if (truth[field] or 0) > 0 then redis.call('HSET', stem .. ':flow', field, truth[field]) else redis.call('HDEL', stem .. ':flow', field) end
  end
end
census(true)
-- What has something stands in a ring or aside, once; what has nothing in none.
for _, one in ipairs(check_rings()) do wrong[one] = true end
local found = {}
for spot in pairs(wrong) do found[#found + 1] = {spot, f.waits(spot), runs[spot] or 0} end
f.flush()
t.rouse()
return found
