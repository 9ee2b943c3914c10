-- What the verbs share. Made only when something out of the ordinary happens, so that an ordinary exchange does not pay
-- for it. Making it writes first: a removal that removes nothing. Redis refuses a script for lack of memory at its first
-- write only, and never at a removal; so every verb that begins here drains a full server.
-- Expects `stem` (KEYS[1]), `now` (ms) and `clock` (the reply of TIME).
local made
local function tools()
  if made then return made end
  redis.call('HDEL', stem, '-')
  --#include element.lua
  --#include letter.lua
  local t = {open = open, seal = seal, letter_of = letter_of, added = 0}
  local places = 0
  made = t

  -- The id that a user has given, without the entries behind it (enter.lua).
  --#flow: function t.plain_id(id) return (string.match(id, '^[^\255]*')) end
  local function digits(number) return string.format('%.0f', number) end
  t.digits = digits

  -- Calls a command with any number of values, a thousand at a time (unpack has a limit).
  local function each(command, key, values)
    for from = 1, #values, 1000 do
      redis.call(command, key, unpack(values, from, math.min(from + 999, #values)))
    end
  end
  t.each = each

  -- The fields of the queue that every exchange reads, packed into one: stamp, next, lease, version, flags, priorities.
  local function face()
    local q = redis.call('HMGET', stem, 'stamp', 'next', 'lease', 'version', 'paused', 'ids', 'priorities')
    redis.call('HSET', stem, 'face', struct.pack('>I6I6I6I4B', tonumber(q[1]) or now, tonumber(q[2]) or 0,
      tonumber(q[3]) or 30000, tonumber(q[4]) or 0, (q[5] and 1 or 0) + (q[6] and 2 or 0)) .. (q[7] or ''))
  end

  function t.put(field, value)
    redis.call('HSET', stem, field, value)
    face()
  end

  function t.unset(field)
    redis.call('HDEL', stem, field)
    face()
  end

  -- Something is due or overdue at `at`: exchanges look for it from `next` on.
  function t.soon(at)
    if at < (tonumber(redis.call('HGET', stem, 'next')) or 0) then t.put('next', digits(at)) end
  end

  -- The queue remembers which priorities it has seen: those are the lists that an exchange looks into.
  function t.know(priority)
    --#flow: if stem == home then return f.know(priority) end
    local known = redis.call('HGET', stem, 'priorities') or ''
    if not string.find(known, priority, 1, true) then
      local all = {tostring(priority)}
      for digit in string.gmatch(known, '%d') do all[#all + 1] = digit end
      table.sort(all)
      t.put('priorities', table.concat(all))
    end
  end

  -- A place behind all others.
  function t.place()
    places = places + 1
    return struct.pack('>I7I2', clock[1] * 1000000 + clock[2] + math.floor(places / 65536), places % 65536)
  end

  --#flow seats.lua
  --#plain
  local function by_priority(elements)
    local lists = {}
    for _, element in ipairs(elements) do
      local priority = string.byte(element) % 16
      lists[priority] = lists[priority] or {}
      table.insert(lists[priority], element)
    end
    for priority in pairs(lists) do t.know(priority) end
    t.added = t.added + #elements
    return lists
  end

  -- To the tail of their priorities, in the order given, under new places.
  function t.tail(elements)
    for priority, list in pairs(by_priority(elements)) do
      for i, element in ipairs(list) do
        list[i] = string.sub(element, 1, 1) .. t.place() .. string.sub(element, 11)
      end
      each('RPUSH', stem .. ':ready:' .. priority, list)
    end
  end

  local function place_of(element) return string.sub(element, 2, 10) end

  -- In front of their priorities, each at its place; so what came back before and is older stays before them. Of that, at
  -- most two thousand are looked through.
  function t.front(taken)
    local elements = {}
    for i, pair in ipairs(taken) do elements[i] = pair[2] end
    for priority, list in pairs(by_priority(elements)) do
      local key, sorted, last = stem .. ':ready:' .. priority, true, place_of(list[1])
      for i = 2, #list do
        local place = place_of(list[i])
        if place < last then sorted = false else last = place end
      end
      for _ = 1, 2000 do
        local first = redis.call('LINDEX', key, 0)
        if not first or place_of(first) > last then break end
        list[#list + 1] = redis.call('LPOP', key)
        sorted = false
      end
      if not sorted then table.sort(list, function(a, b) return place_of(a) < place_of(b) end) end
      local turned = {}
      for i = #list, 1, -1 do turned[#turned + 1] = list[i] end
      each('LPUSH', key, turned)
    end
  end

  --#end
  -- Due later. A task that is due before every other one ends some waits, so that those learn the new time (`rouse`).
  function t.delay(element, due)
    local key = stem .. ':delayed'
    local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    --#flow: local number = put_away(element)
    --#plain
    local number = struct.pack('>I6', redis.call('HINCRBY', stem, 'sequence', 1))
    --#end
    redis.call('HSET', stem .. ':bodies', number, element)
    redis.call('ZADD', key, digits(due), number)
    if not head[2] or due < tonumber(head[2]) then
      t.earlier = true
      t.soon(due)
    end
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
    --#flow: for _, element in ipairs(found) do f.left(f.spot(element), 1, true) end
    t.tail(found)
  end

  -- Ends the wait of up to `most` consumers: a mark for each in the list that all of them pop from. Who died in its wait
  -- pops nothing. The marks are never more than those who are registered.
  function t.wake(most)
    local marks = stem .. ':wake'
    most = math.min(most, redis.call('ZCARD', stem .. ':waiting') - redis.call('LLEN', marks))
    for _ = 1, most do redis.call('RPUSH', marks, 1) end
    if most > 0 then redis.call('PEXPIRE', marks, 60000) end
  end

  -- How many of those who wait are told when the next task is due.
  local guards = 8

  -- The consumer waits no more. If nobody else has been told when the next task is due, some are woken, who are then told.
  function t.awake(consumer)
    --#flow: f.hand_over(consumer)
    redis.call('ZREM', stem .. ':waiting', consumer)
    local sleepers = redis.call('ZCARD', stem .. ':waiting')
    if sleepers == 0 then
      redis.call('DEL', stem .. ':wake')
    else
      redis.call('LTRIM', stem .. ':wake', 0, sleepers - 1)
      local first = redis.call('ZRANGE', stem .. ':delayed', 0, 0, 'WITHSCORES')[2]
      if first and redis.call('ZCOUNT', stem .. ':waiting', 0, first) == 0 then t.wake(guards) end
    end
  end

  -- How many tasks are ready.
  function t.length()
    local all = 0
    --#flow: if not f.going() then return 0 end
    --#flow: all = f.ready()
    for priority in string.gmatch(redis.call('HGET', stem, 'priorities') or '', '%d') do
      all = all + redis.call('LLEN', stem .. ':ready:' .. priority)
    end
    return all
  end

  -- At the end of a verb that may have made tasks ready, or due before all others: then some of those who wait are told, and not
  -- thousands. Their scores in `waiting` are the times they know of, "inf" if they know of none. A score of 0 is of one that
  -- may be busy though it is listed here (it waits at several servers), or of an older release: then all are told.
  function t.rouse()
    --#flow: t.added, f.added = t.added + f.added, 0
    --#flow: if redis.call('EXISTS', stem .. ':waiting') == 1 and f.untold() then t.wake(1) end
    if not (t.earlier or t.added > 0) or redis.call('EXISTS', stem .. ':waiting') == 0 then return end
    local most = t.added > 0 and math.min(t.added, t.length()) or 0
    if t.earlier then most = math.max(most, redis.call('ZCOUNT', stem .. ':waiting', 0, 0) > 0 and 1000000 or guards) end
    t.wake(most)
  end

  -- All deadlines move by `gap` (lease-rules R8): the store was away, or its clock jumped.
  function t.shift(gap)
    local key = stem .. ':consumers'
    local all = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #all, 2 do redis.call('ZADD', key, digits(tonumber(all[i + 1]) + gap), all[i]) end
    t.put('next', 0)
  end

  -- The gap rule; a clock that went back by more than a second counts as a gap, too. Sets the stamp.
  function t.stamp()
    local known = redis.call('HMGET', stem, 'stamp', 'lease')
    local gap = now - (tonumber(known[1]) or now)
    if gap > (tonumber(known[2]) or 30000) / 3 or gap < -1000 then t.shift(gap) end
    t.put('stamp', digits(now))
  end

  -- What a consumer holds. Its list begins with a head: last turn, first receipt of the list, how many deliveries follow,
  -- first receipt that the last turn leased + 1 (0: none), 1 if the hash of the consumer has something to say + 2 if it waits. The
  -- deliveries of the last batch follow; what is left of older ones is in another hash, by receipt.
  function t.holder(consumer)
    local holder = {
      --#flow: name = consumer, key = stem .. ':consumer:' .. consumer, batch = stem .. ':lot:' .. consumer, mine = {},
      --#plain
      name = consumer, key = stem .. ':consumer:' .. consumer, batch = stem .. ':batch:' .. consumer,
      --#end
      held = stem .. ':held:' .. consumer, named = stem .. ':named:' .. consumer,
      ids = redis.call('HGET', stem, 'ids'), base = 0, left = 0,
    }
    --#flow: f.adopt(consumer)
    local head = redis.call('LINDEX', holder.batch, 0)
    if head then
      holder.known = true
      --#flow: if #head > 26 then holder.mine = cmsgpack.unpack(string.sub(head, 27)) end
      holder.turn, holder.base, holder.left, holder.granted, holder.odd = struct.unpack('>I7I7I4I7B', head)
    end
    local known = redis.call('HMGET', holder.key, 'spilled', 'done')
    holder.spilled, holder.done = known[1], known[2] or nil
    return holder
  end

  local function head(holder)
    --#flow: do return struct.pack('>I7I7I4I7B', holder.turn, holder.base, holder.left, holder.granted, holder.odd) .. f.pack(holder.mine) end
    return struct.pack('>I7I7I4I7B', holder.turn, holder.base, holder.left, holder.granted, holder.odd)
  end

  function t.save(holder)
    if holder.known then redis.call('LSET', holder.batch, 0, head(holder)) end
  end

  -- The rest of the batch moves from the list to the hash.
  function t.spill(holder)
    if holder.left == 0 then return end
    local fields = {}
    for i, element in ipairs(redis.call('LRANGE', holder.batch, 1, -1)) do
      fields[#fields + 1] = digits(holder.base + i - 1)
      fields[#fields + 1] = element
    end
    redis.call('LTRIM', holder.batch, 0, 0)
    each('HSET', holder.held, fields)
    redis.call('HSET', holder.key, 'spilled', 1)
    --#flow: holder.mine.s = 1
    holder.left, holder.spilled = 0, '1'
    t.save(holder)
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
    --#flow: if string.find(id, '\255', 1, true) then redis.call('SREM', stem .. ':live', t.plain_id(id)) end
    redis.call('SREM', stem .. ':live', id)
    if redis.call('EXISTS', stem .. ':live') == 0 then t.unset('ids') end
  end

  -- Takes the receipts first..last away from a holder. Returns {receipt, element} of each (`over`: without elements, and
  -- their ids end) and the receipts that it does not hold.
  function t.take(holder, first, last, over)
    local taken, missing = {}, {}
    local low, high = holder.base, holder.base + holder.left - 1
    local from, to = math.max(first, low), math.min(last, high)
    if from > to then
      from, to = 1, 0
    elseif from > low and to < high then
      t.spill(holder)
      from, to = 1, 0
    else
      local many, start = to - from + 1, from - low + 1
      --#flow: local got = redis.call('LRANGE', holder.batch, start, start + many - 1)
      --#plain
      local got = over and {} or redis.call('LRANGE', holder.batch, start, start + many - 1)
      --#end
      if many == holder.left then
        redis.call('LTRIM', holder.batch, 0, 0)
      elseif from == low then
        -- The last one taken stays where the head has to be; saving puts the head there.
        redis.call('LTRIM', holder.batch, many, -1)
        holder.base = to + 1
      else
        redis.call('LTRIM', holder.batch, 0, -many - 1)
      end
      holder.left = holder.left - many
      t.save(holder)
      for i = 1, many do
        taken[i] = {from + i - 1, got[i]}
        unname(holder, from + i - 1, over)
      end
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
    --#flow: parted(holder, taken, over)
    return taken, missing
  end

  -- The receipts and elements of all that a holder has, in order, without taking them.
  function t.list(holder)
    local all = {}
    if holder.spilled then
      local held = redis.call('HGETALL', holder.held)
      for i = 1, #held, 2 do all[#all + 1] = {tonumber(held[i]), held[i + 1]} end
    end
    if holder.left > 0 then
      for i, element in ipairs(redis.call('LRANGE', holder.batch, 1, -1)) do
        all[#all + 1] = {holder.base + i - 1, element}
      end
    end
    if holder.spilled then table.sort(all, function(a, b) return a[1] < b[1] end) end
    return all
  end

  -- Takes single receipts of a list that `list` made, span by span and the last span first: what lies at the end of the
  -- batch is cut off there. Returns what it took, and the spans.
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
    redis.call('LTRIM', holder.batch, 0, 0)
    redis.call('DEL', holder.held, holder.named)
    redis.call('HDEL', holder.key, 'spilled')
    --#flow: parted(holder, all)
    holder.left, holder.spilled = 0, nil
    t.save(holder)
    return all
  end

  -- The consumer is over: nothing late can come back under its name for an hour, longer than any request can be late.
  function t.entomb(consumer)
    local key = stem .. ':consumer:' .. consumer
    --#flow: t.empty(t.holder(consumer))
    --#flow: redis.call('DEL', stem .. ':lot:' .. consumer)
    redis.call('DEL', key, stem .. ':batch:' .. consumer, stem .. ':held:' .. consumer, stem .. ':named:' .. consumer)
    redis.call('ZREM', stem .. ':consumers', consumer)
    t.awake(consumer)
    redis.call('HSET', key, 'fenced', 1)
    redis.call('PEXPIRE', key, 3600000)
  end

  -- Returns in front, with count + 1, what an overdue consumer holds, at most `most` of it, and fences it (R6). One that
  -- holds nothing only leaves the list of deadlines, for a day; its next renewal or exchange puts it back.
  function t.take_back(consumer, most)
    local holder = t.holder(consumer)
    local all = t.list(holder)
    if #all == 0 then
      if not holder.known or redis.call('HGET', holder.key, 'fenced') then
        t.entomb(consumer)
      else
        redis.call('ZREM', stem .. ':consumers', consumer)
        t.awake(consumer)
        holder.odd = 1  -- something to say, and waits no more
        t.save(holder)
        redis.call('HSET', holder.key, 'out', 1)
        redis.call('PEXPIRE', holder.key, 86400000)
        redis.call('PEXPIRE', holder.batch, 86400000)
        --#flow: redis.call('PEXPIRE', stem .. ':batch:' .. consumer, 86400000)
      end
      return 0
    end
    redis.call('HSET', holder.key, 'fenced', 1)
    holder.odd = 1
    local back, from = {}, math.max(1, #all - most + 1)
    t.pick(holder, {unpack(all, from)})
    t.save(holder)
    for i = from, #all do
      local task = open(all[i][2])
      task.count = task.count + 1
      back[#back + 1] = {all[i][1], seal(task)}
    end
    t.front(back)
    if from == 1 then t.entomb(consumer) end
    return #back
  end

  -- A consumer that held nothing while it was overdue is back.
  function t.back_in(holder, deadline)
    redis.call('HDEL', holder.key, 'out')
    redis.call('PERSIST', holder.key)
    redis.call('PERSIST', holder.batch)
    --#flow: redis.call('PERSIST', stem .. ':batch:' .. holder.name)
    redis.call('ZADD', stem .. ':consumers', digits(deadline), holder.name)
    t.soon(deadline)
  end

  -- Takes out the letters with these ids.
  function t.unbury(ids)
    local many = 0
    for _, id in ipairs(ids) do
      local letter = redis.call('HGET', stem .. ':dead', id)
      if letter then
        redis.call('HDEL', stem .. ':dead', id)
        redis.call('ZREM', stem .. ':deaths', id)
        redis.call('ZREM', stem .. ':dead-tasks', (letter_of(letter) or {''})[1] .. '\0' .. id)
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
    local age = tonumber(bounds[2]) or 7776000000
    --#plain
    local letter = cmsgpack.pack({task_id, task.payload, reason, digits(now), task.priority, task.id, digits(now + age)})
    --#end
    --#flow: local letter = cmsgpack.pack({task_id, task.payload, reason, digits(now), task.priority, task.id, digits(now + age), task.ticket})
    --#flow: local part = f.key_of(t.seal(task))
    --#flow: if part then f.over(part) end
    redis.call('HSET', stem .. ':dead', id, letter)
    redis.call('HSET', stem, 'dead_age', digits(age))
    redis.call('ZADD', stem .. ':deaths', 0, id)
    redis.call('ZADD', stem .. ':dead-tasks', 0, task_id .. '\0' .. id)
    local old = string.format('(%014.0f', now - age)
    t.unbury(redis.call('ZRANGEBYLEX', stem .. ':deaths', '-', old, 'LIMIT', 0, 100))
    local over = redis.call('ZCARD', stem .. ':deaths') - (tonumber(bounds[1]) or 100000)
    if over > 0 then t.unbury(redis.call('ZRANGE', stem .. ':deaths', 0, math.min(over, 100) - 1)) end
  end

  return t
end
