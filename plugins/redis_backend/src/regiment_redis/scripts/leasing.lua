-- Leases with flow: the priorities in order, in each the pools in turn, in each the lanes in turn (flow.lua). Tasks may have
-- megabytes: no more are popped at once than would fit if all were four times as large as the first and the last of them.
local got, written
if limit > 0 and flags % 2 == 0 then
  local call, sub, byte, min, max, floor = redis.call, string.sub, string.byte, math.min, math.max, math.floor
  local room, have, tight, strays = tonumber(ARGV[5]), 0, false, {}
  local quiet = f.quiet
  local everything, holding, bodies = not quiet and f.queue_rule(), left, stem .. ':bodies'
  if mine.s and not quiet then holding = left + call('HLEN', stem .. ':held:' .. consumer) end
  local want, shut = limit, false
  if not quiet then want, shut = f.most('', everything, limit, holding) end
  if want == 0 and not shut then f.added = f.added + 1 end
  got = {}

  local function resolve(reference)
    local body = call('HGET', bodies, sub(reference, 11))
    return sub(body, 1, 1) .. sub(reference, 2, 10) .. sub(body, 11)
  end

  -- Leases the first `most` of a list, if they fit; how many it was.
  local function pull(key, most, plain)
    local n, done = 0, false
    if most == 1 then
      local element = call('LPOP', key)
      written = true
      if not element then return 0 end
      local first = byte(element)
      if first < 64 and not plain then
        local size = #element - 13 - byte(element, 11) - byte(element, 12 + byte(element, 11)) * 256 - byte(element, 13 + byte(element, 11))
        if size > room and have > 0 then
          call('LPUSH', key, element)
          tight = true
          return 0
        end
        room, have = room - size, have + 1
        got[have] = element
        return 1
      end
      call('LPUSH', key, element)
    end
    while n < most and not tight and not done do
      local asked = most - n
      if asked > 1 then
        local first = call('LINDEX', key, 0)
        if not first then break end
        local largest = max(#first, #(call('LINDEX', key, asked - 1) or first))
        asked = byte(first) > 63 and 1 or min(asked, max(1, floor(room / largest / 4)))
      end
      local popped = call('LPOP', key, asked)
      written = true
      if not popped then break end
      local all = #popped
      done = all < asked
      for i = 1, all do
        local element = popped[i]
        local first = byte(element)
        if first > 63 then element = resolve(element) end
        if plain and first > 31 and first < 64 and f.spot(element) ~= '0::' then
          -- Who does not know of flow has made it ready.
          f.left(f.spot(element), 1, true)
          strays[#strays + 1] = element
        else
          local size = #element - 10
          if byte(element) > 31 then size = size - 3 - byte(element, 11) - struct.unpack('>I2', element, 12 + byte(element, 11)) end
          if size > room and have > 0 then
            for j = all, i, -1 do call('LPUSH', key, popped[j]) end
            tight = true
            break
          end
          room, have, n = room - size, have + 1, n + 1
          got[have] = element
          if first > 63 then
            call('HDEL', bodies, sub(popped[i], 11))
            f.runs(f.key_of(element))
            mine.k = (mine.k or 0) + 1
          end
        end
      end
    end
    return n
  end

  -- Lets the lanes of a pool take turns until `n` are leased; how many it was.
  local function lanes(p, pool, n)
    local ring, total, again, later = stem .. ':ring:' .. p .. ':' .. pool, 0, {}, {}
    local ruled = not quiet and (f.flags > 0 or f.any_gates())
    local share = n > 1 and floor(n / max(call('LLEN', ring), 1)) or 1
    local prefix, stays, waits = stem .. ':lane:' .. p .. ':' .. pool .. ':', false, 0
    while n > 0 and not tight do
      local first = n > 1 and call('LPOP', ring, min(n, 64)) or n == 1 and {call('LPOP', ring) or nil}
      if not first or not first[1] then
        if #again == 0 then break end
        first, again = again, {}
        share = max(1, floor(n / #first))
      end
      if ruled then f.preload(first, pool) end
      local front, i, all = nil, 1, #first
      while i <= all and n > 0 and not tight do
        local entry = first[i]
        local name, used = sub(entry, 3), byte(entry, 1) * 256 + byte(entry, 2)
        local spot = (ruled or name == '') and pool .. ':' .. name
        local rule = ruled and f.lane_rule(spot, pool)
        local turn = max(rule and rule[4] or 1, share)
        if used >= turn then
          again[#again + 1] = '\0\0' .. name
        else
          local most, closed = min(n, turn - used), false
          if ruled then most, closed = f.most(spot, rule, most, mine[spot] or 0) end
          if most > 0 then
            local plain = spot == '0::'
            local key = plain and stem .. ':ready:' .. p or prefix .. name
            local served = pull(key, most, plain)
            local full = rule and f.counted(rule) and served > 0
            if full then
              mine[spot] = (mine[spot] or 0) + served
              full = f.took(spot, rule, served)
            end
            n, total = n - served, total + served
            if not plain then waits = waits + served end
            if served < most and not tight or call('EXISTS', key) == 0 then
              f.emptied(p, spot or pool .. ':' .. name)
            elseif full then
              f.put_off(p, spot)
            elseif used + served >= turn then
              again[#again + 1] = used == 0 and entry or '\0\0' .. name
            elseif served < most or n == 0 then
              front = struct.pack('>I2', min(used + served, 65535)) .. name
            else
              later[#later + 1] = '\0\0' .. name
            end
          elseif closed then
            f.put_off(p, spot)
          else
            later[#later + 1] = '\0\0' .. name
            f.added = f.added + 1
          end
        end
        i = i + 1
      end
      for j = all, i, -1 do call('LPUSH', ring, first[j]) end
      if front then call('LPUSH', ring, front) end
      stays = front or i <= all
    end
    if waits > 0 then
      f.wait('w', -waits)
      if pool ~= '0:' then f.wait('w' .. pool, -waits) end
    end
    for from = 1, #again, 1000 do call('RPUSH', ring, unpack(again, from, min(from + 999, #again))) end
    for from = 1, #later, 1000 do call('RPUSH', ring, unpack(later, from, min(from + 999, #later))) end
    return total, stays or #again > 0 or #later > 0 or call('EXISTS', ring) == 1
  end

  -- Who does not know of flow pushes to the plain lanes.
  local ready = stem .. ':ready:'
  if call('EXISTS', ready .. 0, ready .. 1, ready .. 2, ready .. 3, ready .. 4, ready .. 5, ready .. 6, ready .. 7, ready .. 8, ready .. 9) > #f.plain then
    call('HDEL', stem, '-')
    for p in string.gmatch('0123456789', '%d') do
      if not string.find(f.plain, p, 1, true) and call('EXISTS', ready .. p) == 1 then
        f.know(p)
        f.enter(p, '0::')
      end
    end
  end
  local function by_priority()
    for p in string.gmatch(f.used, '%d') do
      if want == 0 or tight then break end
      local ring, again, later = stem .. ':ring:' .. p, {}, {}
      -- The only pool stays where it is.
      local first = call('LRANGE', ring, 0, 1)
      local alone = #first == 1
      local share = alone and want or #first > 0 and floor(want / call('LLEN', ring)) or 1
      while #first > 0 and want > 0 and not tight do
        local entry = alone and first[1] or not alone and call('LPOP', ring)
        if not entry then
          if #again == 0 then break end
          call('RPUSH', ring, unpack(again))
          share, again, entry = max(1, floor(want / #again)), {}, call('LPOP', ring)
        end
        local pool, used = sub(entry, 3), byte(entry, 1) * 256 + byte(entry, 2)
        local rule = not quiet and f.pool_rule(pool)
        if alone then used = 0 end
        local turn = max(rule and rule[4] or 1, share)
        if used >= turn then
          again[#again + 1] = '\0\0' .. pool
        else
          local most, closed = min(want, turn - used), false
          if not quiet then most, closed = f.most(pool, rule, most, mine[pool] or 0) end
          if most > 0 then
            local served, stays = lanes(p, pool, most)
            local full = false
            if served > 0 and pool ~= '0:' then
              mine[pool] = (mine[pool] or 0) + served
              if quiet then f.run(pool, served) else full = f.took(pool, rule, served) end
            end
            want = want - served
            if alone then
              if not stays or full then call('LPOP', ring) end
              if stays and full then f.put_off(p, pool) end
              if full or not stays or served < most then break end
            elseif stays then
              if full then
                f.put_off(p, pool)
              elseif used + served >= turn then
                again[#again + 1] = '\0\0' .. pool
              elseif tight or want == 0 then
                call('LPUSH', ring, struct.pack('>I2', min(used + served, 65535)) .. pool)
              else
                later[#later + 1] = '\0\0' .. pool
              end
            end
          elseif closed then
            if alone then call('LPOP', ring) end
            f.put_off(p, pool)
            if alone then break end
          else
            f.added = f.added + 1
            if alone then break end
            later[#later + 1] = '\0\0' .. pool
          end
        end
      end
      for from = 1, #again, 1000 do call('RPUSH', ring, unpack(again, from, min(from + 999, #again))) end
      for from = 1, #later, 1000 do call('RPUSH', ring, unpack(later, from, min(from + 999, #later))) end
    end
  end
  by_priority()
  if #strays > 0 then
    tools().tail(strays)
    strays = {}
    by_priority()
  end
  if have == 0 then
    got = nil
  elseif quiet then
    f.run('', have)
  else
    f.took('', everything, have)
  end
end
