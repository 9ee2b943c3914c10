-- What the verbs share. Made only when something out of the ordinary happens, so that an ordinary exchange does not pay
-- for it. Making it writes first: a removal that removes nothing. Redis refuses a script for lack of memory at its first
-- write only, and never at a removal; so every verb that begins here drains a full server.
-- Expects `stem` (KEYS[1]) and `now` (ms).
local made
local function tools()
  if made then return made end
  redis.call('HDEL', stem, '-')
  --#include element.lua
  local t = {open = open, seal = seal, added = 0}
  made = t

  local function digits(number) return string.format('%.0f', number) end
  t.digits = digits

  -- Calls a command with any number of values, a thousand at a time (unpack has a limit).
  local function each(command, key, values)
    for from = 1, #values, 1000 do
      redis.call(command, key, unpack(values, from, math.min(from + 999, #values)))
    end
  end
  t.each = each

  -- The queue remembers which priorities it has seen: those are the lists that an exchange looks into.
  function t.know(priority)
    local known = redis.call('HGET', stem, 'priorities') or ''
    if not string.find(known, priority, 1, true) then
      local all = {tostring(priority)}
      for digit in string.gmatch(known, '%d') do all[#all + 1] = digit end
      table.sort(all)
      redis.call('HSET', stem, 'priorities', table.concat(all))
    end
  end

  local function ready(command, elements)
    local lists = {}
    for _, element in ipairs(elements) do
      local priority = string.byte(element) % 16
      lists[priority] = lists[priority] or {}
      table.insert(lists[priority], element)
    end
    for priority, list in pairs(lists) do
      t.know(priority)
      each(command, stem .. ':ready:' .. priority, list)
    end
    t.added = t.added + #elements
  end

  -- To the tail of their priorities, in the order given.
  function t.tail(elements) ready('RPUSH', elements) end

  -- In front of their priorities; `taken` is a list of {receipt, element} in any order and keeps its order of receipts.
  function t.front(taken)
    table.sort(taken, function(a, b) return a[1] > b[1] end)
    local elements = {}
    for i, pair in ipairs(taken) do elements[i] = pair[2] end
    ready('LPUSH', elements)
  end

  -- Due later. A task that is due before every other one wakes all who wait, so that each learns the new time.
  function t.delay(element, due)
    local key = stem .. ':delayed'
    local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    local number = struct.pack('>I6', redis.call('HINCRBY', stem, 'sequence', 1))
    redis.call('HSET', stem .. ':bodies', number, element)
    redis.call('ZADD', key, due, number)
    if not head[2] or due < tonumber(head[2]) then t.earlier = true end
  end

  -- What is due joins the tail of its priority, in due order; at most a thousand per call.
  function t.promote()
    local numbers = redis.call('ZRANGEBYSCORE', stem .. ':delayed', '-inf', now, 'LIMIT', 0, 1000)
    if #numbers == 0 then return end
    local bodies = redis.call('HMGET', stem .. ':bodies', unpack(numbers))
    redis.call('ZREM', stem .. ':delayed', unpack(numbers))
    redis.call('HDEL', stem .. ':bodies', unpack(numbers))
    local found = {}
    for i = 1, #numbers do
      if bodies[i] then found[#found + 1] = bodies[i] end
    end
    t.tail(found)
  end

  -- Ends the wait of `most` consumers. Those whose lease has passed are taken off and do not count: they sleep for good.
  function t.wake(most)
    while most > 0 do
      local woken = redis.call('ZPOPMIN', stem .. ':waiting', math.min(most, 100))
      if #woken == 0 then return end
      for i = 1, #woken, 2 do
        local deadline = redis.call('ZSCORE', stem .. ':consumers', woken[i])
        if deadline and tonumber(deadline) > now then
          redis.call('LPUSH', stem .. ':mark:' .. woken[i], 1)
          redis.call('PEXPIRE', stem .. ':mark:' .. woken[i], 60000)
          most = most - 1
        end
      end
    end
  end

  function t.length()
    local all = 0
    for priority in string.gmatch(redis.call('HGET', stem, 'priorities') or '', '%d') do
      all = all + redis.call('LLEN', stem .. ':ready:' .. priority)
    end
    return all
  end

  -- At the end of a verb that may have made tasks ready.
  function t.rouse()
    if t.earlier then
      t.wake(1000000)
    elseif t.added > 0 and redis.call('EXISTS', stem .. ':waiting') == 1 then
      t.wake(math.min(t.added, t.length()))
    end
  end

  -- All deadlines move by `gap` (lease-rules R8): the store was away, or its clock jumped.
  function t.shift(gap)
    local key = stem .. ':consumers'
    local all = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #all, 2 do redis.call('ZADD', key, tonumber(all[i + 1]) + gap, all[i]) end
  end

  -- The gap rule; a clock that went back by more than a second counts as a gap, too. Sets the stamp.
  function t.stamp()
    local known = redis.call('HMGET', stem, 'stamp', 'lease')
    local gap = now - (tonumber(known[1]) or now)
    if gap > (tonumber(known[2]) or 30000) / 3 or gap < -1000 then t.shift(gap) end
    redis.call('HSET', stem, 'stamp', now)
  end

  -- What a consumer holds: `left` deliveries of its last batch in a list, the first of them with receipt `base`, and
  -- what is left of older batches in a hash by receipt.
  function t.holder(consumer)
    local key = stem .. ':consumer:' .. consumer
    local known = redis.call('HMGET', key, 'base', 'left', 'spilled', 'done')
    return {
      name = consumer, key = key, base = tonumber(known[1]) or 0, left = tonumber(known[2]) or 0, spilled = known[3],
      done = known[4] or nil, batch = stem .. ':batch:' .. consumer, held = stem .. ':held:' .. consumer,
      named = stem .. ':named:' .. consumer, ids = redis.call('HGET', stem, 'ids'),
    }
  end

  function t.save(holder)
    redis.call('HSET', holder.key, 'base', digits(holder.base), 'left', holder.left)
  end

  -- The rest of the batch moves from the list to the hash.
  function t.spill(holder)
    if holder.left == 0 then return end
    local pairs_ = {}
    for i, element in ipairs(redis.call('LRANGE', holder.batch, 0, -1)) do
      pairs_[#pairs_ + 1] = digits(holder.base + i - 1)
      pairs_[#pairs_ + 1] = element
    end
    each('HSET', holder.held, pairs_)
    redis.call('DEL', holder.batch)
    redis.call('HSET', holder.key, 'spilled', 1)
    holder.left, holder.spilled = 0, '1'
  end

  -- The user's ids of deliveries that leave a holder; `over` says that the task is over and its id no longer in use.
  local function unname(holder, receipt, over)
    if not holder.ids then return end
    local id = redis.call('HGET', holder.named, digits(receipt))
    if not id then return end
    redis.call('HDEL', holder.named, digits(receipt))
    if over then t.unlive(id) end
  end

  function t.unlive(id)
    redis.call('SREM', stem .. ':live', id)
    if redis.call('EXISTS', stem .. ':live') == 0 then redis.call('HDEL', stem, 'ids') end
  end

  -- Takes the receipts first..last away from a holder. Returns {receipt, element} of each (`over`: without elements, and
  -- their ids end) and the receipts that it does not hold.
  function t.take(holder, first, last, over)
    local taken, missing = {}, {}
    local low, high = holder.base, holder.base + holder.left - 1
    local from, to = math.max(first, low), math.min(last, high)
    if holder.left > 0 and from <= to and from > low and to < high then
      t.spill(holder)
      from, to = 1, 0
    elseif holder.left > 0 and from <= to then
      local many = to - from + 1
      local got = {}
      if many == holder.left then
        if not over then got = redis.call('LRANGE', holder.batch, 0, -1) end
        redis.call('DEL', holder.batch)
      elseif from == low then
        if not over then got = redis.call('LRANGE', holder.batch, 0, many - 1) end
        redis.call('LTRIM', holder.batch, many, -1)
        holder.base = holder.base + many
      else
        if not over then got = redis.call('LRANGE', holder.batch, -many, -1) end
        redis.call('LTRIM', holder.batch, 0, -many - 1)
      end
      holder.left = holder.left - many
      for i = 1, many do
        taken[i] = {from + i - 1, got[i]}
        unname(holder, from + i - 1, over)
      end
    else
      from, to = 1, 0
    end
    local receipt = first
    while receipt <= last do
      if receipt == from and from <= to then
        receipt = to + 1
      else
        local field = digits(receipt)
        local element = holder.spilled and redis.call('HGET', holder.held, field)
        if element then
          redis.call('HDEL', holder.held, field)
          taken[#taken + 1] = {receipt, element}
          unname(holder, receipt, over)
        else
          missing[#missing + 1] = receipt
        end
        receipt = receipt + 1
      end
    end
    return taken, missing
  end

  -- The receipts (and elements) of all that a holder has, without taking them.
  function t.list(holder)
    local all = {}
    if holder.spilled then
      local held = redis.call('HGETALL', holder.held)
      for i = 1, #held, 2 do all[#all + 1] = {tonumber(held[i]), held[i + 1]} end
    end
    if holder.left > 0 then
      for i, element in ipairs(redis.call('LRANGE', holder.batch, 0, -1)) do
        all[#all + 1] = {holder.base + i - 1, element}
      end
    end
    table.sort(all, function(a, b) return a[1] < b[1] end)
    return all
  end

  -- Takes single receipts of a list that `list` made, span by span and the last span first: what lies at the end of the
  -- batch is cut off there. Returns the spans.
  function t.pick(holder, listed, over)
    local spans, taken = {}, {}
    for _, pair in ipairs(listed) do
      local span = spans[#spans]
      if span and pair[1] == span[2] + 1 then span[2] = pair[1] else spans[#spans + 1] = {pair[1], pair[1]} end
    end
    for i = #spans, 1, -1 do
      for _, pair in ipairs((t.take(holder, spans[i][1], spans[i][2], over))) do taken[#taken + 1] = pair end
    end
    return taken, spans
  end

  -- Takes everything.
  function t.empty(holder)
    local all = t.list(holder)
    redis.call('DEL', holder.batch, holder.held, holder.named)
    redis.call('HDEL', holder.key, 'spilled')
    holder.left, holder.spilled = 0, nil
    return all
  end

  -- The consumer is over: nothing late can come back under its name for an hour, longer than any request can be late.
  function t.entomb(consumer)
    local key = stem .. ':consumer:' .. consumer
    redis.call('DEL', key, stem .. ':batch:' .. consumer, stem .. ':held:' .. consumer)
    redis.call('DEL', stem .. ':named:' .. consumer, stem .. ':mark:' .. consumer)
    redis.call('ZREM', stem .. ':consumers', consumer)
    redis.call('ZREM', stem .. ':waiting', consumer)
    redis.call('HSET', key, 'fenced', 1)
    redis.call('PEXPIRE', key, 3600000)
  end

  -- Returns in front, with count + 1, what an overdue consumer holds, at most `most` of it, and fences it (R6). One that
  -- holds nothing only leaves the list of deadlines; its next renewal or exchange puts it back.
  function t.take_back(consumer, most)
    local holder = t.holder(consumer)
    local all = t.list(holder)
    if #all == 0 then
      redis.call('ZREM', stem .. ':consumers', consumer)
      redis.call('ZREM', stem .. ':waiting', consumer)
      if redis.call('HGET', holder.key, 'fenced') then
        t.entomb(consumer)
      else
        redis.call('HSET', holder.key, 'out', 1, 'odd', 1)
        redis.call('PEXPIRE', holder.key, 86400000)
      end
      return 0
    end
    redis.call('HSET', holder.key, 'fenced', 1, 'odd', 1)
    local back = {}
    local from = math.max(1, #all - most + 1)
    if from == 1 then
      t.empty(holder)
    else
      t.pick(holder, {unpack(all, from)})
      t.save(holder)
    end
    for i = from, #all do
      local task = open(all[i][2])
      task.count = task.count + 1
      back[#back + 1] = {all[i][1], seal(task)}
    end
    t.front(back)
    if from == 1 then t.entomb(consumer) end
    return #back
  end

  -- Takes out the letters with these ids.
  function t.unbury(ids)
    local many = 0
    for _, id in ipairs(ids) do
      local letter = redis.call('HGET', stem .. ':dead', id)
      if letter then
        redis.call('HDEL', stem .. ':dead', id)
        redis.call('ZREM', stem .. ':deaths', id)
        redis.call('ZREM', stem .. ':dead-tasks', cmsgpack.unpack(letter)[1] .. '\0' .. id)
        many = many + 1
      end
    end
    return many
  end

  -- A dead letter, and the end of those that are too many or too old (a hundred per call, so that a lowered bound is
  -- reached step by step). Ids sort by time of death, then in order.
  function t.bury(holder, task, task_id, reason)
    local bounds = redis.call('HMGET', holder.key, 'dead_limit', 'dead_age')
    local id = string.format('%014.0f-%010.0f', now, redis.call('HINCRBY', stem, 'sequence', 1))
    local letter = cmsgpack.pack({task_id, task.payload, reason, digits(now), task.priority, task.id})
    redis.call('HSET', stem .. ':dead', id, letter)
    redis.call('ZADD', stem .. ':deaths', 0, id)
    redis.call('ZADD', stem .. ':dead-tasks', 0, task_id .. '\0' .. id)
    local old = string.format('(%014.0f', now - (tonumber(bounds[2]) or 7776000000))
    t.unbury(redis.call('ZRANGEBYLEX', stem .. ':deaths', '-', old, 'LIMIT', 0, 100))
    local over = redis.call('ZCARD', stem .. ':deaths') - (tonumber(bounds[1]) or 100000)
    if over > 0 then t.unbury(redis.call('ZRANGE', stem .. ':deaths', 0, math.min(over, 100) - 1)) end
  end

  return t
end
