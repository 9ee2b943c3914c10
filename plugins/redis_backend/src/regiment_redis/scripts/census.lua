-- Counts what runs by going through all that is leased; with `write`, puts it right for each consumer and lane.
local function census(write)
  local runs, many = {}, 0
  for _, consumer in ipairs(redis.call('ZRANGE', stem .. ':consumers', 0, -1)) do
    f.adopt(consumer)
    local lot, mine = stem .. ':lot:' .. consumer, {}
    local head = redis.call('LINDEX', lot, 0)
    if head then
      local function add(element)
        f.holds(mine, element, 1)
        many = many + 1
        local spot = f.spot(element)
        for _, one in ipairs({f.pool_of(spot), spot}) do runs[one] = (runs[one] or 0) + 1 end
      end
      for _, element in ipairs(redis.call('LRANGE', lot, 1, -1)) do add(element) end
      local held = redis.call('HVALS', stem .. ':held:' .. consumer)
      for _, element in ipairs(held) do add(element) end
      if #held > 0 then mine.s = 1 end
      if write and many > 0 then redis.call('LSET', lot, 0, string.sub(head, 1, 26) .. f.pack(mine)) end
    end
  end
  runs[''] = many
  if write then
    f.flush()
    local fields = redis.call('HKEYS', stem .. ':flow')
    for _, field in ipairs(fields) do
      if string.byte(field) == 114 then redis.call('HDEL', stem .. ':flow', field) end
    end
    for spot, n in pairs(runs) do
      local pool = spot ~= '' and f.pool_of(spot)
      if n > 0 and spot ~= '0:' and spot ~= '0::' and (not pool or pool == spot or f.counted(f.lane_rule(spot, pool))) then
        redis.call('HSET', stem .. ':flow', 'r' .. spot, n)
      end
    end
  end
  return runs
end
-- How many lanes have a rule of their own.
local function lanes_with_rules()
  local many = 0
  for _, spot in ipairs(redis.call('ZRANGE', stem .. ':ruled', 0, -1)) do
    if spot ~= '' and f.pool_of(spot) ~= spot then many = many + 1 end
  end
  return many
end
-- S:shown: spots that have a rule or a gate, so that they are listed also when nothing waits or runs.
local function list_spot(spot, there)
  if there then redis.call('ZADD', stem .. ':shown', 0, spot) else redis.call('ZREM', stem .. ':shown', spot) end
end
-- What this spot kept out may go perhaps: itself, and of a pool whose lanes have a rule from it those.
local function open_again(spot)
  if spot ~= '' then f.unblock(spot) end
  if spot == '' then f.added = f.added + f.ready() + 1000 end
  if spot ~= '' and f.pool_of(spot) ~= spot then return end
  local prefix = spot == '' and '0:' or spot
  local cursor = '0'
  repeat
    local found = redis.call('HSCAN', stem .. ':off', cursor, 'COUNT', 500)
    cursor = found[1]
    for i = 1, #found[2], 2 do
      local one = found[2][i]
      if f.pool_of(one) == prefix and one ~= prefix then
        if redis.call('ZSCORE', stem .. ':gates', 'r' .. one) then redis.call('ZREM', stem .. ':gates', 'r' .. one) end
        f.unblock(one)
      end
    end
  until cursor == '0'
end
