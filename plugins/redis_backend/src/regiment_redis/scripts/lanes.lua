-- Calls `step` with priority, spot and key of each lane that has something ready: the priorities in order, in each the pools and in each the
-- lanes by name; from a priority, pool and lane on, until it returns false. The lanes of 500 names are read at once.
local function pool_spot(name) return #name .. ':' .. name end
local function each_lane(priority, pool, lane, step)
  for p in string.gmatch(redis.call('HGET', stem, 'priorities') or '', '%d') do
    if priority == '' or p >= priority then
      local first = priority == p
      local names = {''}
      for _, name in ipairs(redis.call('ZRANGE', stem .. ':pools', 0, -1)) do names[#names + 1] = name end
      for _, name in ipairs(names) do
        if not first or name >= pool then
          local spot = pool_spot(name)
          local from, own = '-', ''
          if first and name == pool then from, own = '[' .. lane, lane end
          if name == '' and own == '' and redis.call('EXISTS', stem .. ':ready:' .. p) == 1 then
            if not step(p, '0::', stem .. ':ready:' .. p) then return end
          end
          while from do
            local some = redis.call('ZRANGEBYLEX', stem .. ':lanes:' .. spot, from, '+', 'LIMIT', 0, 500)
            for _, one in ipairs(some) do
              local key = stem .. ':lane:' .. p .. ':' .. spot .. ':' .. one
              if redis.call('EXISTS', key) == 1 and not step(p, spot .. ':' .. one, key) then return end
            end
            from = #some == 500 and '(' .. some[500]
          end
        end
      end
    end
  end
end
local function resolve(reference)
  if string.byte(reference) < 64 then return reference end
  local body = redis.call('HGET', stem .. ':bodies', string.sub(reference, 11))
  return string.sub(body, 1, 1) .. string.sub(reference, 2, 10) .. string.sub(body, 11)
end
