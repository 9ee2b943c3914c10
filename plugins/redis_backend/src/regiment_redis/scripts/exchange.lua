-- Settles, returns what is overdue, promotes what is due, and leases what comes next.
-- KEYS[1]  stem of the queue, "regiment:{queue}"; every other key is the stem and a suffix, so in the same slot
-- ARGV     1 consumer, 2 turn, 3 base, 4 limit, 5 most bytes of payload, 6 holds nothing (1) + turns may be left out (2: several
--          nodes share a consumer), then the settlements:
--          "D" first last | "B" first last | "A" receipt delay-ms priority-or-empty payload | "P" receipt delay-ms
--          | "X" receipt task-id reason has-payload payload
-- returns  0 if fenced, else {ms until the next is due or -1, board version, lost receipts, elements, now in ms, the queue's
--          face without its stamp or empty}, and in the repeat of a turn also the receipts of the elements
--#include now.lua
--#effects given.lua
local consumer, turn, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
--#flow flowing.lua
--#plain
local batch = stem .. ':batch:' .. consumer
local head = redis.call('LINDEX', batch, 0)
local face = redis.call('HGET', stem, 'face')
--#end
if not head or not face then return 0 end
local last, base, left, granted, odd = struct.unpack('>I7I7I4I7B', head)
local stamp, next_look, lease, version, flags = struct.unpack('>I6I6I6I4B', face)
--#include tools.lua
--#flow admitting.lua
--#effects effects.lua

--#flow: local mine = #head > 26 and cmsgpack.unpack(string.sub(head, 27)) or {}
local key, waiting, more = stem .. ':consumer:' .. consumer, odd > 1, nil
if odd % 2 == 1 then
  more = redis.call('HMGET', key, 'fenced', 'out', 'lost', 'done', 'lease')
  if more[1] then return 0 end
end
-- Milliseconds until a delayed task is due or another consumer is overdue; -1: nothing is to come. When it is known that
-- nobody is overdue before `soon`, that is told instead of the first deadline: a look too early costs one exchange.
local known
local function upcoming(soon)
  known = redis.call('ZRANGE', stem .. ':delayed', 0, 0, 'WITHSCORES')[2]
  local first, deadline = tonumber(known), nil
  --#flow: soon = nil
  if soon and soon - now > 6000 then
    deadline = redis.call('ZCARD', stem .. ':consumers') > 1 and soon or nil
  else
    local others = redis.call('ZRANGE', stem .. ':consumers', 0, 1, 'WITHSCORES')
    deadline = tonumber(others[others[1] == consumer and 4 or 2])
  end
  if first and deadline then first = math.min(first, deadline) end
  first = first or deadline
  return first and math.max(first - now, 0) or -1
end

if turn == last then
  local lost, receipts, elements = more and more[3] and cmsgpack.unpack(more[3]) or {}, {}, {}
  if granted > 0 then
    local t = tools()
    for _, pair in ipairs(t.list(t.holder(consumer))) do
      if pair[1] >= granted - 1 then
        receipts[#receipts + 1] = pair[1]
        elements[#elements + 1] = pair[2]
      end
    end
  end
  return {(upcoming()), version, lost, elements, now, '', receipts}
end
local flag = tonumber(ARGV[6])
--#flow: flag = flag % 4
if turn < last or turn > last + 1 and flag < 2 then return 0 end

local kept
if more then
  if more[2] then
    local t = tools()
    t.back_in(t.holder(consumer), now + tonumber(more[5]))
  end
  if more[3] then redis.call('HDEL', key, 'lost') end
  kept = more[4]
end
local gap = now - stamp
if gap > lease / 3 or gap < -1000 then
  tools().shift(gap)
  next_look = 0
end

--#flow: if f.opens <= f.now then f.open_gates() end
-- Settle. What an ordinary worker sends is Done for all that it holds: then its list goes.
local gone, lost = false, {}
--#flow: local whole = not mine.k and not mine.s
if #ARGV == 9 and ARGV[7] == 'D' and left > 0 and flags < 2 and not kept and tonumber(ARGV[8]) == base
  --#flow: and whole
  and tonumber(ARGV[9]) == base + left - 1 then
  redis.call('DEL', batch)
  --#flow: f.run('', -left)
  --#flow: if not f.quiet then f.fewer(mine) f.freed(left) else for spot, n in pairs(mine) do f.run(spot, -n) end end
  --#flow: mine = {}
  gone, left = true, 0
elseif #ARGV > 6 then
  local t = tools()
  --#effects taking.lua
  local holder, backs, i = t.holder(consumer), {}, 7
  local spans = kept and cmsgpack.unpack(kept) or {}
  local function lose(missing)
    for _, receipt in ipairs(missing) do lost[#lost + 1] = receipt end
  end
  local function single(receipt)
    local taken, missing = t.take(holder, receipt, receipt, false)
    lose(missing)
    return taken[1] and t.open(taken[1][2])
  end
  local function later(task, delay)
    if delay > 0 then t.delay(t.seal(task), now + delay) else t.tail({t.seal(task)}) end
  end
  while i <= #ARGV do
    local kind, receipt = ARGV[i], tonumber(ARGV[i + 1])
    if kind == 'D' then
      local _, missing = t.take(holder, receipt, tonumber(ARGV[i + 2]), true)
      for _, absent in ipairs(missing) do
        -- What this consumer's own keeper has settled already is not lost.
        local own = false
        for _, span in ipairs(spans) do own = own or (span[1] <= absent and absent <= span[2]) end
        if not own then lost[#lost + 1] = absent end
      end
      i = i + 3
    elseif kind == 'B' then
      local taken, missing = t.take(holder, receipt, tonumber(ARGV[i + 2]), false)
      for _, pair in ipairs(taken) do backs[#backs + 1] = pair end
      --#flow: for _, pair in ipairs(taken) do f.refund(f.spot(pair[2])) end
      lose(missing)
      i = i + 3
    elseif kind == 'A' then
      local task = single(receipt)
      if task then
        task.count, task.parked, task.note, task.payload = 0, 0, '', ARGV[i + 4]
        task.priority = tonumber(ARGV[i + 3]) or task.priority
        later(task, tonumber(ARGV[i + 2]))
      end
      i = i + 5
    elseif kind == 'P' then
      local task = single(receipt)
      if task then
        if task.parked == 0 then task.parked = now end
        later(task, tonumber(ARGV[i + 2]))
      end
      i = i + 3
    else
      local task = single(receipt)
      if task then
        if ARGV[i + 4] == '1' then task.payload = ARGV[i + 5] end
        if task.id ~= '' then t.unlive(task.id) end
        t.bury(holder, task, ARGV[i + 2], ARGV[i + 3])
      end
      i = i + 6
    end
  end
  t.front(backs)
  base, left = holder.base, holder.left
  --#flow: mine = holder.mine
end
--#effects: if gone then took = true end
--#effects leaving.lua
--#effects: if made then version = tonumber(redis.call('HGET', stem, 'version')) or 0 end

if flag % 2 == 1 then
  if left > 0 or redis.call('EXISTS', stem .. ':held:' .. consumer) == 1 then
    local t = tools()
    t.front(t.empty(t.holder(consumer)))
    left = 0
    --#flow: mine = {}
  end
  if kept then
    redis.call('HDEL', key, 'done')
    kept = nil
  end
end

-- `next` is never later than what it stands for: before it there is nothing to look for.
if now >= next_look then
  local t, most = tools(), math.max(limit, 100)
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', stem .. ':consumers', '-inf', now, 'LIMIT', 0, 10)) do
    if other ~= consumer and most > 0 then most = most - t.take_back(other, most) end
  end
  t.promote()
  --#flow: f.sweep()
  local own = tonumber(redis.call('ZSCORE', stem .. ':consumers', consumer)) or now
  local wait = upcoming()
  next_look = math.min(own, now + (wait < 0 and 3600000 or wait))
  t.put('next', t.digits(next_look))
end

-- Lease. Tasks may have megabytes, and should not all be in memory before `most bytes` is seen: so no more are popped at
-- once than would fit if all were four times as large as the first and the last of them.
local got, written
--#flow leasing.lua
--#plain
if limit > 0 and flags % 2 == 0 then
  local room, want, have = tonumber(ARGV[5]), limit, 0
  local priorities = made and redis.call('HGET', stem, 'priorities') or string.sub(face, 24)
  for p = 1, #priorities do
    local list, done = stem .. ':ready:' .. string.sub(priorities, p, p), false
    while not done and want > 0 do
      local asked = want
      if want > 1 then
        local first = redis.call('LINDEX', list, 0)
        if not first then break end
        local largest = math.max(#first, #(redis.call('LINDEX', list, want - 1) or first))
        asked = math.min(want, math.max(1, math.floor(room / largest / 4)))
      end
      local popped = redis.call('LPOP', list, asked)
      written = true
      if not popped then break end
      local all = #popped
      done = all < asked
      local fits, size = all, -10 * all
      for i = 1, all do size = size + #popped[i] end
      if size <= room then
        room, want = room - size, want - all
      else
        fits = 0
        for i = 1, all do
          size = #popped[i] - 10
          if size > room and (have > 0 or i > 1) then break end
          room, fits = room - size, i
        end
        for i = all, fits + 1, -1 do
          redis.call('LPUSH', list, popped[i])
          popped[i] = nil
        end
        want = fits < all and 0 or want - all
      end
      if not got then
        got = popped
      else
        for i = 1, fits do got[have + i] = popped[i] end
      end
      have = have + fits
    end
    if want == 0 then break end
  end
end
--#end

if made then next_look = tonumber(redis.call('HGET', stem, 'next')) or 0 end
local next_due = math.max(next_look - now, 0)
local mark = kept and 1 or 0
if #lost > 0 then
  mark = 1
  tools()
  redis.call('HSET', key, 'lost', cmsgpack.pack(lost))
end
-- It waits no more, whatever else happens; the marks are then for others.
if waiting and (got or limit == 0) then tools().awake(consumer) end
if got then
  if left > 0 then
    local t = tools()
    t.spill(t.holder(consumer))
    --#flow: mine.s = 1
  end
  if not gone then redis.call('DEL', batch) end
  base = tonumber(ARGV[3])
  head = struct.pack('>I7I7I4I7B', turn, base, #got, base + 1, mark)
  --#flow: head = head .. f.pack(mine)
  if #got <= 1000 then
    redis.call('RPUSH', batch, head, unpack(got))
  else
    redis.call('RPUSH', batch, head)
    tools().each('RPUSH', batch, got)
  end
  if flags > 1 or made and redis.call('HGET', stem, 'ids') then
    for i = 1, #got do
      local id = string.byte(got[i]) > 15 and tools().open(got[i]).id or ''
      if id ~= '' then redis.call('HSET', stem .. ':named:' .. consumer, tools().digits(base + i - 1), id) end
    end
  end
  --#flow: if (f.added > 0 or f.closed) and redis.call('EXISTS', stem .. ':waiting') == 1 then tools() end
  if made then made.rouse() end
else
  got = {}
  -- A removal is the first write, or a full server would refuse it (see tools); most who look in vain change nothing else.
  --#flow: f.closed = false
  --#flow: if f.added > 0 and redis.call('EXISTS', stem .. ':waiting') == 1 then tools() end
  if made then made.rouse() elseif not written then redis.call('HDEL', stem, '-') end
  next_due = upcoming(next_look)
  if limit > 0 then
    mark = mark + 2
    -- Who is told when the next task is due is told by its score (`rouse` in tools.lua).
    redis.call('ZADD', stem .. ':waiting', flag > 1 and 0 or known or 'inf', consumer)
  elseif waiting then
    -- It may have been woken for a task that it does not want now: somebody else shall have it.
    local t = tools()
    t.wake(t.length())
  end
  head = struct.pack('>I7I7I4I7B', turn, base, left, 0, mark)
  --#flow: head = head .. f.pack(mine)
  if gone then redis.call('RPUSH', batch, head) else redis.call('LSET', batch, 0, head) end
  if next_due > 0 and next_due < 6000 and limit > 0 then
    -- Of a crowd that sleeps until the same task is due, the first by name is on time, and the others look 5 ms after
    -- each other, at most 40 ms late: all at once, they would keep each other from running it.
    next_due = next_due + math.min(redis.call('ZRANK', stem .. ':waiting', consumer), 8) * 5
  end
  --#flow: if limit > 0 and flags % 2 == 0 then next_due = f.told(consumer, next_due) end
end
--#flow: f.flush()
if gap < 0 or gap * 24 > lease then tools().put('stamp', tools().digits(now)) end
return {next_due, version, lost, got, now, got[1] and string.sub(made and redis.call('HGET', stem, 'face') or face, 7) or ''}
