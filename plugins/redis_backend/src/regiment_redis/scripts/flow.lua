-- What the extra `flow` has in common (docs/redis.md, "Lanes and budgets"). Expects `stem`, `now`, `clock` and `flowed`, the field of the
-- queue: 1 byte (1: the queue has a rule, 2: pools have, 4: lanes have their own, 8: something may stand aside, 16: there may be gates), 6 bytes ms before which no gate opens, and the
-- priorities whose plain list (lane "" of pool "") stands in a ring or aside, a slash, and those that any list has ever had. The field
-- `priorities` names all ten, so that a push without flow adds none, and an x, which no lease without flow gets over.
-- A spot is "" (the queue), "3:crm" (a pool) or "3:crm:acme" (a lane); "0::" is the plain lane, whose lists are S:ready:P.
--   S:ring:P         pools that may lease: 2 bytes tasks of its turn that it had, spot
--   S:ring:P:POOL    lanes that may lease: 2 bytes tasks of its turn that it had, name
--   S:lane:P:LANE    elements
--   S:off            spot -> priorities at which it has something and stands in no ring, for it may not lease
--   S:flow           "w" ready in lanes, "w" and pool ready and delayed, "d" and lane delayed, "r" and spot leased
--   S:gates          "g" and spot (closed), "r" and spot (no rate left) -> ms at which it opens
--   S:rates          spot -> us at which all that it leased is paid (GCRA)
--   S:rules          "c" and "o" and spot as they were given, "e" and spot what holds
--   S:pools, S:lanes:POOL  names of what has something, sorted
local home = stem
local f = {added = 0, slots = 1, closed = false, handed = false}
do
  local call, sub, byte, find = redis.call, string.sub, string.byte, string.find
  local never = 140737488355328
  local micros = clock[1] * 1000000 + clock[2]
  f.now = micros / 1000
  local counts, was, deltas, waits, rules, offs, tats, gone = {}, {}, {}, {}, {}, {}, {}, {}
  local some_rates
  local flags, opens = struct.unpack('>BI6', flowed)
  local some_off, some_gates = flags % 16 > 7, flags > 15
  local had_off, had_gates = some_off, some_gates
  flags = flags % 8
  f.opens, f.flags = opens, flags
  f.plain, f.used = string.match(flowed, '^(%d*)/(%d*)', 8)

  function f.run(spot, n)
    if counts[spot] then counts[spot] = counts[spot] + n else deltas[spot] = (deltas[spot] or 0) + n end
  end
  function f.wait(field, n) waits[field] = (waits[field] or 0) + n end
  -- A list is empty now.
  function f.emptied(p, spot)
    if spot == '0::' then f.plain = string.gsub(f.plain, p, '') else gone[spot] = 'empty' end
  end
  function f.pack(mine)
    for spot, n in pairs(mine) do
      if n == 0 then mine[spot] = nil end
    end
    return next(mine) and cmsgpack.pack(mine) or ''
  end
  -- Writes what has changed; each step ends with it.
  function f.flush()
    local flow_key = stem .. ':flow'
    local changed, many = {}, 0
    for spot, n in pairs(deltas) do
      if n ~= 0 then
        many = many + 1
        changed[many] = spot
      end
    end
    if many > 2 then
      f.load(changed)
      changed = {}
    end
    local emptied = {}
    for _, spot in ipairs(changed) do
      if call('HINCRBY', flow_key, 'r' .. spot, deltas[spot]) <= 0 then
        call('HDEL', flow_key, 'r' .. spot)
        emptied[#emptied + 1] = spot
      end
    end
    deltas = {}
    local set, del = {}, {}
    for spot, n in pairs(counts) do
      if n ~= was[spot] then
        if n > 0 then
          set[#set + 1] = 'r' .. spot
          set[#set + 1] = n
        else
          del[#del + 1] = 'r' .. spot
          emptied[#emptied + 1] = spot
        end
      end
    end
    for from = 1, #del, 1000 do call('HDEL', flow_key, unpack(del, from, math.min(from + 999, #del))) end
    for from = 1, #set, 1000 do call('HSET', flow_key, unpack(set, from, math.min(from + 999, #set))) end
    counts, was = {}, {}
    for field, n in pairs(waits) do
      if n ~= 0 then
        local left = call('HINCRBY', flow_key, field, n)
        if left <= 0 then call('HDEL', flow_key, field) end
        if #field > 1 and byte(field) == 119 then
          local pool = sub(field, 2)
          if left > 0 and left == n then call('ZADD', stem .. ':pools', 0, sub(pool, find(pool, ':', 1, true) + 1)) end
          if left <= 0 then emptied[#emptied + 1] = pool end
        end
      end
    end
    waits = {}
    if #emptied > 0 then f.unlist_pools(emptied) end
    if next(gone) then f.unlist() end
    if some_off and had_off then some_off = call('EXISTS', stem .. ':off') == 1 end
    if some_gates and had_gates then some_gates = call('EXISTS', stem .. ':gates') == 1 end
    local all = f.flags + (some_off and 8 or 0) + (some_gates and 16 or 0)
    local field = struct.pack('>BI6', all, math.ceil(f.opens)) .. f.plain .. '/' .. f.used
    if field ~= flowed then
      flowed = field
      call('HSET', stem, 'flow', field)
    end
  end

  -- What an exchange of a queue without rules does not need, and what hardly anyone needs, is made when somebody asks for it.
  local function ruled()
    local call, sub, byte, find = redis.call, string.sub, string.byte, string.find
    local flow_key, off_key, gates_key = stem .. ':flow', stem .. ':off', stem .. ':gates'
    local counted, gated, tat_of, tokens, pay, off, is_off, on, enter_pool, nothing_of, pool_of
    function f.pool_of(spot)
      local colon = find(spot, ':', 1, true)
      return sub(spot, 1, colon + tonumber(sub(spot, 1, colon - 1)))
    end
    pool_of = f.pool_of

    function f.list(p, spot)
      if spot == '0::' then return stem .. ':ready:' .. p end
      return stem .. ':lane:' .. p .. ':' .. spot
    end

    -- The lane of an element that is no reference.
    function f.spot(element)
      if byte(element) % 64 < 32 then return '0::' end
      return sub(element, 12, 11 + byte(element, 11))
    end

    -- Counts. What is only changed is added at the end; what has to be known is read, and written at the end.
    function f.load(spots)
      local fields, asked = {}, {}
      for _, spot in ipairs(spots) do
        if not counts[spot] and not asked[spot] then
          asked[spot] = true
          fields[#fields + 1] = 'r' .. spot
        end
      end
      for from = 1, #fields, 500 do
        local to = math.min(from + 499, #fields)
        local found = call('HMGET', flow_key, unpack(fields, from, to))
        for i = from, to do
          local spot, number = sub(fields[i], 2), tonumber(found[i - from + 1]) or 0
          was[spot], counts[spot], deltas[spot] = number, number + (deltas[spot] or 0), nil
        end
      end
    end
    function f.running(spot)
      if not counts[spot] then f.load({spot}) end
      return counts[spot]
    end
    -- How many wait at a spot.
    function f.waits(spot)
      local function count(field) return (tonumber(call('HGET', flow_key, field)) or 0) + (waits[field] or 0) end
      local all = count(spot == '' and 'w' or f.pool_of(spot) == spot and 'w' .. spot or 'd' .. spot)
      if spot ~= '' and f.pool_of(spot) == spot then return all end
      for p in string.gmatch(spot == '' and '0123456789' or f.used, '%d') do
        all = all + call('LLEN', spot == '' and stem .. ':ready:' .. p or f.list(p, spot))
      end
      return spot == '' and all + call('ZCARD', stem .. ':delayed') or all
    end

    -- Rules: {at_once, us between leases, burst, weight, waiting, rule of its lanes}; 0 is no limit.
    function f.rule(spot)
      local rule = rules[spot]
      if rule == nil then
        local packed = call('HGET', stem .. ':rules', 'e' .. spot)
        rule = packed and cmsgpack.unpack(packed) or false
        rules[spot] = rule
      end
      return rule
    end
    -- The rule of the queue has the weight and the lanes of pool ""; lane "" of a pool has none.
    function f.queue_rule() return flags % 2 == 1 and f.rule('') end
    function f.pool_rule(pool)
      if pool ~= '0:' then return flags % 4 > 1 and f.rule(pool) end
      local rule = f.queue_rule()
      if not rule then return false end
      if not rules[pool] then rules[pool] = {0, 0, 1, rule[4], 0, rule[6]} end
      return rules[pool]
    end
    function f.lane_rule(spot, pool)
      if #spot == #pool + 1 then return false end
      local rule = flags > 3 and f.rule(spot)
      if rule then return rule end
      rule = f.pool_rule(pool)
      return rule and rule[6] or false
    end
    function f.rule_of(spot)
      if spot == '' then return f.queue_rule() end
      local pool = pool_of(spot)
      if pool == spot then return f.pool_rule(pool) end
      return f.lane_rule(spot, pool)
    end
    function counted(rule) return rule and (rule[1] > 0 or rule[2] > 0) end
    f.counted = counted

    -- Gates and rates.
    function gated(spot)
      if not some_gates then return false end
      local gate = call('ZSCORE', gates_key, 'g' .. spot)
      if gate and tonumber(gate) > f.now then return true end
      local rate = call('ZSCORE', gates_key, 'r' .. spot)
      return rate and tonumber(rate) > f.now
    end
    function f.close(member, ms)
      call('ZADD', gates_key, ms == math.huge and '+inf' or string.format('%.3f', ms), member)
      some_gates = true
      if ms < f.opens then f.opens = ms end
      if ms < never then f.closed = true end
    end
    function tat_of(spot, rule)
      if not tats[spot] then
        if some_rates == nil then some_rates = call('EXISTS', stem .. ':rates') == 1 end
        tats[spot] = some_rates and tonumber(call('ZSCORE', stem .. ':rates', spot)) or 0
      end
      return math.min(tats[spot], micros + rule[3] * rule[2])
    end
    -- What came late is made up for, up to three quarters of a step and a second (L6).
    local function paid(spot, rule)
      local tat = tat_of(spot, rule)
      return tat == 0 and micros or math.max(tat, micros - math.min(rule[2] * 0.75, 1000000))
    end
    function tokens(spot, rule)
      local slack = (rule[3] - 1) * rule[2]
      local tat = paid(spot, rule)
      if tat > micros + slack then return 0 end
      return math.floor((micros + slack - tat) / rule[2] + 1e-9) + 1
    end
    f.tokens = tokens
    function pay(spot, rule, tat)
      tats[spot], some_rates = tat, true
      call('ZADD', stem .. ':rates', string.format('%.0f', tat), spot)
    end
    -- ms at which the rate lets the next one go.
    function f.opening(spot, rule) return (tat_of(spot, rule) - (rule[3] - 1) * rule[2]) / 1000 end

    function f.any_gates()
      return some_gates
    end
    -- What the lanes of these entries of a ring have, in few calls.
    function f.preload(entries, pool)
      local pool_rule, spots, fields = f.pool_rule(pool), {}, {}
      for i, entry in ipairs(entries) do
        spots[i] = pool .. ':' .. sub(entry, 3)
        fields[i] = 'e' .. spots[i]
      end
      if flags > 3 then
        local found = call('HMGET', stem .. ':rules', unpack(fields))
        for i, spot in ipairs(spots) do
          if rules[spot] == nil then rules[spot] = found[i] and cmsgpack.unpack(found[i]) or false end
          if rules[spot] and rules[spot][1] > 0 then pool_rule = {0, 0, 1, 1, 0, rules[spot]} end
        end
      end
      if pool_rule and pool_rule[6] and pool_rule[6][1] > 0 then f.load(spots) end
    end

    -- True if it may not lease now, whoever asks.
    function f.shut(spot, rule)
      if gated(spot) then return true end
      if not rule then return false end
      if rule[1] > 0 and f.running(spot) >= rule[1] then return true end
      if rule[2] > 0 and tokens(spot, rule) == 0 then
        f.close('r' .. spot, f.opening(spot, rule))
        return true
      end
      return false
    end
    -- How many of `want` may be leased now to one who holds `held`; and, if none, whether that is so for everybody.
    function f.most(spot, rule, want, held)
      if gated(spot) then return 0, true end
      if not counted(rule) then return want end
      if rule[1] > 0 then want = math.min(want, rule[1] - f.running(spot)) end
      if rule[2] > 0 and want > 0 then
        want = math.min(want, tokens(spot, rule))
        if want == 0 then f.close('r' .. spot, f.opening(spot, rule)) end
      end
      if want <= 0 then return 0, true end
      return math.max(math.min(want, f.slots - held), 0), false
    end
    -- So many were leased. True if that was all for now.
    function f.took(spot, rule, n)
      f.run(spot, n)
      if not counted(rule) then return false end
      if rule[2] > 0 then
        pay(spot, rule, paid(spot, rule) + n * rule[2])
        if tokens(spot, rule) == 0 then
          f.close('r' .. spot, f.opening(spot, rule))
          return true
        end
      end
      return rule[1] > 0 and f.running(spot) >= rule[1]
    end

    -- Rings.
    function off(spot)
      if not some_off then return nil end
      if offs[spot] == nil then offs[spot] = call('HGET', off_key, spot) end
      return offs[spot] or nil
    end
    function is_off(spot, p)
      local digits = off(spot)
      return digits and find(digits, p, 1, true)
    end
    function f.put_off(p, spot)
      local digits = off(spot) or ''
      if find(digits, p, 1, true) then return end
      offs[spot], some_off = digits .. p, true
      call('HSET', off_key, spot, digits .. p)
    end
    function on(spot)
      local digits = off(spot)
      if not digits then return nil end
      call('HDEL', off_key, spot)
      offs[spot] = false
      return digits
    end
    -- It stands in no ring and nowhere aside any more: it is empty.
    function f.forget(p, spot)
      local digits = off(spot)
      if not digits then return end
      digits = string.gsub(digits, p, '')
      offs[spot] = digits ~= '' and digits
      if digits == '' then call('HDEL', off_key, spot) else call('HSET', off_key, spot, digits) end
    end
    function enter_pool(p, pool)
      if f.shut(pool, f.pool_rule(pool)) then
        f.put_off(p, pool)
        return false
      end
      call('RPUSH', stem .. ':ring:' .. p, '\0\0' .. pool)
      return true
    end
    -- A lane that has got something takes turns from now on, if it may. True if it may.
    function f.enter(p, spot)
      if spot == '0::' and not find(f.plain, p, 1, true) then f.plain = f.plain .. p end
      local pool = pool_of(spot)
      if f.shut(spot, f.lane_rule(spot, pool)) then
        f.put_off(p, spot)
        return false
      end
      if call('RPUSH', stem .. ':ring:' .. p .. ':' .. pool, '\0\0' .. sub(spot, #pool + 2)) == 1 then
        return enter_pool(p, pool)
      end
      return not is_off(pool, p)
    end
    -- What kept a spot out may be over.
    function f.unblock(spot)
      local digits = off(spot)
      if not digits or f.shut(spot, f.rule_of(spot)) then return end
      on(spot)
      local pool = pool_of(spot)
      for p in string.gmatch(digits, '%d') do
        local ok
        if pool == spot then ok = enter_pool(p, pool) else ok = f.enter(p, spot) end
        if ok then f.added = f.added + (pool == spot and 1000 or 1) end
      end
    end
    -- So many of each of these ended: {spot -> n}.
    function f.fewer(spots)
      local names = {}
      for spot, n in pairs(spots) do
        if #spot > 1 then
          f.run(spot, -n)
          names[#names + 1] = spot
        end
      end
      if not some_off then return end
      for from = 1, #names, 500 do
        local to = math.min(from + 499, #names)
        local found = call('HMGET', off_key, unpack(names, from, to))
        for i = from, to do
          if offs[names[i]] == nil then offs[names[i]] = found[i - from + 1] end
          if offs[names[i]] then f.unblock(names[i]) end
        end
      end
    end

    -- A priority is used.
    function f.know(p)
      if find(f.used, p, 1, true) then return end
      local all = {tostring(p)}
      for digit in string.gmatch(f.used, '%d') do all[#all + 1] = digit end
      table.sort(all)
      f.used = table.concat(all)
    end
    -- n elements have left lists or what is delayed.
    function f.left(spot, n, delayed)
      if spot == '0::' then return end
      local pool = pool_of(spot)
      if pool ~= '0:' then f.wait('w' .. pool, -n) end
      if delayed then f.wait('d' .. spot, -n) else f.wait('w', -n) end
      if delayed then gone[spot] = 'due' end
    end
    -- Gates whose time has come; at most 64 a call.
    function f.open_gates()
      if f.opens > now then return end
      local due = call('ZRANGEBYSCORE', gates_key, '-inf', string.format('%.3f', f.now), 'LIMIT', 0, 64)
      if #due > 0 then call('ZREM', gates_key, unpack(due)) end
      local first = tonumber(call('ZRANGE', gates_key, 0, 0, 'WITHSCORES')[2])
      f.opens = first and first < never and first or never
      local waited, past = {}, {}
      for _, member in ipairs(due) do
        local spot = sub(member, 2)
        waited[spot] = spot == '' or off(spot)
        if spot == '' then f.added = f.added + 1000 else f.unblock(spot) end
      end
      -- How late one is that waited for its rate is not forgotten before it leases.
      for _, spot in ipairs(call('ZRANGEBYSCORE', stem .. ':rates', '-inf', string.format('%.0f', micros), 'LIMIT', 0, 16)) do
        if not waited[spot] then past[#past + 1] = spot end
      end
      if #past > 0 then call('ZREM', stem .. ':rates', unpack(past)) end
    end
    -- The queue itself had no room, and has now.
    function f.freed(n)
      local rule = f.queue_rule()
      if rule and rule[1] > 0 and f.running('') < rule[1] and f.running('') + n >= rule[1] then f.added = f.added + n end
    end


    function nothing_of(spot)
      if spot == '0::' then return false end
      if (tonumber(call('HGET', flow_key, 'd' .. spot)) or 0) > 0 then return false end
      for p in string.gmatch(f.used, '%d') do
        if call('EXISTS', f.list(p, spot)) == 1 then return false end
      end
      return true
    end
    function f.set_flags(number)
      flags, f.flags, rules = number, number, {}
    end
    function f.unlist_pools(emptied)
      for _, pool in ipairs(emptied) do
        if pool ~= '' and pool_of(pool) == pool then
          local left = call('HMGET', flow_key, 'w' .. pool, 'r' .. pool)
          if not left[1] and not left[2] then call('ZREM', stem .. ':pools', sub(pool, find(pool, ':', 1, true) + 1)) end
        end
      end
    end
    function f.unlist()
      -- Of one priority and without delayed tasks, a lane that was emptied has nothing.
      local names, sure = {}, #f.used < 2 and call('EXISTS', stem .. ':delayed') == 0
      for spot, how in pairs(gone) do
        if sure and how == 'empty' or nothing_of(spot) then
          local pool = pool_of(spot)
          names[pool] = names[pool] or {}
          table.insert(names[pool], sub(spot, #pool + 2))
        end
      end
      gone = {}
      for pool, list in pairs(names) do
        for from = 1, #list, 1000 do call('ZREM', stem .. ':lanes:' .. pool, unpack(list, from, math.min(from + 999, #list))) end
      end
    end
    f.own = {counted, tat_of, tokens, pay, is_off, pool_of}
  end
  -- What most exchanges do not need is made when it is.
  local function rarely()
    local call, sub, byte, find = redis.call, string.sub, string.byte, string.find
    local flow_key, off_key, gates_key = stem .. ':flow', stem .. ':off', stem .. ':gates'
    local counted, tat_of, tokens, pay, is_off, pool_of = unpack(f.own)
  -- n elements have come to a list; `fresh`: it was empty.
  function f.arrived(p, spot, n, fresh)
    local ok
    if fresh then
      ok = f.enter(p, spot)
    else
      if spot == '0::' and not find(f.plain, p, 1, true) then f.enter(p, spot) end
      ok = not is_off(spot, p) and not is_off(pool_of(spot), p)
    end
    if spot ~= '0::' then
      local pool = pool_of(spot)
      f.wait('w', n)
      if pool ~= '0:' then f.wait('w' .. pool, n) end
      if fresh then f.known(spot, pool) end
    end
    if ok then f.added = f.added + n elseif f.opens < never then f.closed = true end
  end
  function f.known(spot, pool)
    call('ZADD', stem .. ':lanes:' .. pool, 0, sub(spot, #pool + 2))
    gone[spot] = nil
  end
  -- A list was emptied by other means than a lease: it leaves the ring, which is walked for it.
  local function leave_ring(ring, name)
    if call('LREM', ring, 1, '\0\0' .. name) == 1 then return end
    local first = call('LINDEX', ring, 0)
    if first and sub(first, 3) == name then call('LPOP', ring) end
  end
  function f.vacated(p, spot)
    f.emptied(p, spot)
    if is_off(spot, p) then return f.forget(p, spot) end
    local pool = pool_of(spot)
    local ring = stem .. ':ring:' .. p .. ':' .. pool
    leave_ring(ring, sub(spot, #pool + 2))
    if call('EXISTS', ring) == 1 then return end
    if is_off(pool, p) then f.forget(p, pool) else leave_ring(stem .. ':ring:' .. p, pool) end
  end
  function f.delayed(spot)
    if spot == '0::' then return end
    local pool = pool_of(spot)
    if pool ~= '0:' then f.wait('w' .. pool, 1) end
    f.wait('d' .. spot, 1)
    f.known(spot, pool)
  end


  -- A lease's share of the rates goes back.
  local function refund_one(spot, rule)
    if not rule or rule[2] == 0 then return end
    local tat = tat_of(spot, rule)
    if tat <= 0 then return end
    pay(spot, rule, tat - rule[2])
    if tokens(spot, rule) > 0 and call('ZREM', gates_key, 'r' .. spot) == 1 and spot ~= '' then f.unblock(spot) end
  end
  function f.refund(spot)
    if flags == 0 then return end
    local pool = pool_of(spot)
    refund_one('', f.queue_rule())
    refund_one(pool, f.pool_rule(pool))
    refund_one(spot, f.lane_rule(spot, pool))
  end

  -- True if something stands in a ring that may go.
  function f.going()
    if call('HEXISTS', stem, 'paused') == 1 or f.shut('', f.queue_rule()) then return false end
    for p in string.gmatch('0123456789', '%d') do
      if call('EXISTS', stem .. ':ring:' .. p) == 1 then return true end
      if not find(f.plain, p, 1, true) and call('EXISTS', stem .. ':ready:' .. p) == 1 then return true end
    end
    return false
  end

  -- How many are ready.
  function f.ready()
    return (tonumber(call('HGET', flow_key, 'w')) or 0) + (waits.w or 0)
  end

  -- What an exchange that found nothing tells its consumer: one of those who wait is told when the next gate opens.
  function f.told(consumer, due)
    if f.opens == never or f.ready() == 0 and f.plain == '' then return due end
    local watcher = call('HGET', stem, 'watcher')
    local name = watcher and sub(watcher, 7)
    if name and name ~= consumer and call('ZSCORE', stem .. ':waiting', name) and struct.unpack('>I6', watcher) + 1000 > now then
      return due
    end
    call('HSET', stem, 'watcher', struct.pack('>I6', math.ceil(f.opens)) .. consumer)
    local first = tonumber(call('ZRANGE', gates_key, 0, 0, 'WITHSCORES')[2]) or f.opens
    local left = math.max(math.ceil(first - f.now), 0)
    return due < 0 and left or math.min(due, left)
  end
  -- True if nobody is told when the next gate opens, though somebody has closed one or come to one.
  function f.untold()
    if f.handed then return true end
    if not f.closed then return false end
    local watcher = call('HGET', stem, 'watcher')
    return not watcher or not call('ZSCORE', stem .. ':waiting', sub(watcher, 7)) or struct.unpack('>I6', watcher) + 1000 < now
  end
  -- The one who is told when a gate opens has something else to do now, or has ended: another one is woken, who is then told.
  function f.hand_over(consumer)
    local watcher = call('HGET', stem, 'watcher')
    if not watcher or sub(watcher, 7) ~= consumer then return end
    call('HDEL', stem, 'watcher')
    f.added = f.added + 1
    f.handed = true
  end

  -- What a consumer holds by spot, of one more or one less element.
  function f.holds(mine, element, n)
    local spot = f.spot(element)
    if f.key_of(element) then mine.k = (mine.k or 0) + n end
    if spot == '0::' then return end
    local pool = pool_of(spot)
    if pool ~= '0:' then mine[pool] = (mine[pool] or 0) + n end
    if counted(f.lane_rule(spot, pool)) then mine[spot] = (mine[spot] or 0) + n end
  end

  -- A consumer that joined when there was no flow, or without knowing of it. Its list gets another name, and a head that no script
  -- without flow can read.
  function f.adopt(consumer)
    local batch, lot = stem .. ':batch:' .. consumer, stem .. ':lot:' .. consumer
    local head = call('LINDEX', batch, 0)
    if not head or #head < 26 then return end
    local ttl, mine, many = call('PTTL', batch), {}, 0
    local function add(elements)
      many = many + #elements
      for _, element in ipairs(elements) do f.holds(mine, element, 1) end
    end
    add(call('LRANGE', batch, 1, -1))
    if call('HLEN', stem .. ':held:' .. consumer) > 0 then
      add(call('HVALS', stem .. ':held:' .. consumer))
      mine.s = 1
    end
    f.run('', many)
    for spot, n in pairs(mine) do
      if #spot > 1 then f.run(spot, n) end
    end
    call('RENAME', batch, lot)
    call('LSET', lot, 0, sub(head, 1, 26) .. f.pack(mine))
    call('RPUSH', batch, '~')
    if ttl > 0 then call('PEXPIRE', batch, ttl) end
  end


  end
  local made_ruled = false
  setmetatable(f, {__index = function(_, name)
    if not made_ruled then
      made_ruled = true
      ruled()
      if rawget(f, name) ~= nil then return rawget(f, name) end
    end
    setmetatable(f, nil)
    rarely()
    --#include keys.lua
    return f[name]
  end})
  -- True if nothing is bounded, closed or aside: then an exchange has nobody to ask.
  f.quiet = flags == 0 and not some_off and not some_gates
end
