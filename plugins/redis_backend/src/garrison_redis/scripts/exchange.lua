-- Settles, returns what is overdue, promotes what is due, and leases what comes next.
-- KEYS[1]  stem of the queue, "garrison:{queue}"; every other key is the stem and a suffix, so in the same slot
-- ARGV     1 consumer, 2 turn, 3 base, 4 limit, 5 most bytes of payload, 6 holds nothing (0, 1), then the settlements:
--          "D" first last | "B" first last | "A" receipt delay-ms priority-or-empty payload | "P" receipt delay-ms
--          | "X" receipt task-id reason has-payload payload
-- returns  0 if fenced, else {ms until the next is due or -1, board version, lost receipts, elements, now in ms}, and in
--          the repeat of a turn also the receipts of the elements
--#include now.lua
local consumer, limit = ARGV[1], tonumber(ARGV[4])
local turn = tonumber(ARGV[2])
local key = stem .. ':consumer:' .. consumer
local me = redis.call('HMGET', key, 'turn', 'base', 'left', 'odd')
local queue = redis.call('HMGET', stem, 'stamp', 'lease', 'priorities', 'version', 'paused', 'ids')
local version = tonumber(queue[4]) or 0
if not me[1] then return 0 end
--#include tools.lua

-- Milliseconds until a delayed task is due or another consumer is overdue.
local function upcoming()
  local first = redis.call('ZRANGE', stem .. ':delayed', 0, 0, 'WITHSCORES')[2]
  local others = redis.call('ZRANGE', stem .. ':consumers', 0, 1, 'WITHSCORES')
  local deadline = others[1] == consumer and others[4] or others[2]
  if others[1] == consumer and not others[3] then deadline = nil end
  first, deadline = tonumber(first), tonumber(deadline)
  if deadline and (not first or deadline < first) then first = deadline end
  return first and math.max(first - now, 0) or -1, deadline
end

local odd = me[4] and redis.call('HMGET', key, 'fenced', 'waiting', 'out', 'lost', 'done', 'granted')
if odd and odd[1] then return 0 end
local last = tonumber(me[1])
if turn == last then
  local lost = odd and odd[4] and cmsgpack.unpack(odd[4]) or {}
  local granted = tonumber(redis.call('HGET', key, 'granted'))
  local receipts, elements = {}, {}
  if granted then
    for _, pair in ipairs(tools().list(tools().holder(consumer))) do
      if pair[1] >= granted then
        receipts[#receipts + 1] = pair[1]
        elements[#elements + 1] = pair[2]
      end
    end
  end
  return {(upcoming()), version, lost, elements, now, receipts}
end
if turn ~= last + 1 then return 0 end

local settled = nil
if odd then
  local t = tools()
  if odd[2] then
    local asleep = redis.call('ZREM', stem .. ':waiting', consumer)
    redis.call('DEL', stem .. ':mark:' .. consumer)
    -- It was woken and does not want a task now: somebody else shall hear of it.
    if asleep == 0 and limit == 0 then t.wake(1) end
  end
  if odd[3] then
    redis.call('PERSIST', key)
    local own = tonumber(redis.call('HGET', key, 'lease'))
    redis.call('ZADD', stem .. ':consumers', now + own, consumer)
  end
  redis.call('HDEL', key, 'waiting', 'out', 'lost', 'odd')
  settled = odd[5] and t.holder(consumer)
end

local lease, gap = tonumber(queue[2]) or 30000, now - (tonumber(queue[1]) or now)
if gap > lease / 3 or gap < -1000 then tools().shift(gap) end

local base, left = tonumber(me[2]), tonumber(me[3])
local lost = {}
local simple = #ARGV == 9 and ARGV[7] == 'D' and not queue[6] and not settled
if simple and left > 0 and tonumber(ARGV[8]) == base and tonumber(ARGV[9]) == base + left - 1 then
  redis.call('DEL', stem .. ':batch:' .. consumer)
  left = 0
elseif #ARGV > 6 then
  local t = tools()
  local holder, backs, i = t.holder(consumer), {}, 7
  local spans = holder.done and cmsgpack.unpack(holder.done) or {}
  local function lose(missing)
    for _, receipt in ipairs(missing) do lost[#lost + 1] = receipt end
  end
  local function single(receipt)
    local taken, missing = t.take(holder, receipt, receipt, false)
    lose(missing)
    return taken[1] and t.open(taken[1][2])
  end
  while i <= #ARGV do
    local kind, receipt = ARGV[i], tonumber(ARGV[i + 1])
    if kind == 'D' then
      local _, missing = t.take(holder, receipt, tonumber(ARGV[i + 2]), true)
      for _, gone in ipairs(missing) do
        -- What this consumer's own keeper has settled already is not lost.
        local own = false
        for _, span in ipairs(spans) do own = own or (span[1] <= gone and gone <= span[2]) end
        if not own then lost[#lost + 1] = gone end
      end
      i = i + 3
    elseif kind == 'B' then
      local taken, missing = t.take(holder, receipt, tonumber(ARGV[i + 2]), false)
      for _, pair in ipairs(taken) do backs[#backs + 1] = pair end
      lose(missing)
      i = i + 3
    elseif kind == 'A' then
      local task = single(receipt)
      if task then
        local delay = tonumber(ARGV[i + 2])
        task.at, task.count, task.parked, task.note, task.payload = now + delay, 0, 0, '', ARGV[i + 4]
        task.priority = tonumber(ARGV[i + 3]) or task.priority
        if delay > 0 then t.delay(t.seal(task), task.at) else t.tail({t.seal(task)}) end
      end
      i = i + 5
    elseif kind == 'P' then
      local task = single(receipt)
      if task then
        local delay = tonumber(ARGV[i + 2])
        task.at = now + delay
        if task.parked == 0 then task.parked = now end
        if delay > 0 then t.delay(t.seal(task), task.at) else t.tail({t.seal(task)}) end
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
  t.save(holder)
  base, left, settled = holder.base, holder.left, holder
end

if ARGV[6] == '1' then
  if left > 0 or redis.call('EXISTS', stem .. ':held:' .. consumer) == 1 then
    local t = tools()
    local holder = t.holder(consumer)
    t.front(t.empty(holder))
    t.save(holder)
    left = 0
  end
  if settled and settled.done then
    redis.call('HDEL', key, 'done')
    settled.done = nil
  end
end

local next_due, deadline = upcoming()
if next_due == 0 then
  local t = tools()
  local most = math.max(limit, 100)
  if deadline and deadline <= now then
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', stem .. ':consumers', '-inf', now, 'LIMIT', 0, 10)) do
      if other ~= consumer and most > 0 then most = most - t.take_back(other, most) end
    end
  end
  t.promote()
  next_due = upcoming()
end
if made and made.added > 0 then queue[3] = redis.call('HGET', stem, 'priorities') end

-- Lease. Lists are popped in growing bites, so that tasks of megabytes are not all in memory before `most bytes` is seen.
local got
if limit > 0 and queue[3] and not queue[5] then
  local room, bite = tonumber(ARGV[5]), 8
  for priority in string.gmatch(queue[3], '%d') do
    local list, done = stem .. ':ready:' .. priority, false
    while not done do
      local have = got and #got or 0
      if have >= limit then break end
      local asked = math.min(limit - have, bite)
      local popped = redis.call('LPOP', list, asked)
      if not popped then break end
      done = #popped < asked
      local fits = 0
      for i = 1, #popped do
        local size = #popped[i] - 7
        if string.byte(popped[i]) > 15 then size = #tools().open(popped[i]).payload end
        if size > room and (have > 0 or i > 1) then break end
        room = room - size
        fits = i
      end
      if fits < #popped then
        for i = #popped, fits + 1, -1 do
          redis.call('LPUSH', list, popped[i])
          popped[i] = nil
        end
        limit, done = have + fits, true
      end
      if not got then
        got = popped
      else
        for i = 1, #popped do got[have + i] = popped[i] end
      end
      bite = bite * 16
    end
    if got and #got >= limit then break end
  end
end

if made then made.rouse() end
local mark = (settled and settled.done) and 1 or nil
if #lost > 0 then
  mark = 1
  redis.call('HSET', key, 'lost', cmsgpack.pack(lost))
end
if got and #got > 0 then
  base = tonumber(ARGV[3])
  if left > 0 then
    local t = tools()
    t.spill(t.holder(consumer))
  end
  local batch = stem .. ':batch:' .. consumer
  if #got <= 1000 then redis.call('RPUSH', batch, unpack(got)) else tools().each('RPUSH', batch, got) end
  if queue[6] or made and redis.call('HGET', stem, 'ids') then
    for i = 1, #got do
      if string.byte(got[i]) > 15 then
        local id = tools().open(got[i]).id
        if id ~= '' then redis.call('HSET', stem .. ':named:' .. consumer, tools().digits(base + i - 1), id) end
      end
    end
  end
  redis.call('HSET', key, 'turn', turn, 'granted', ARGV[3], 'base', ARGV[3], 'left', #got)
else
  got = {}
  local t = tools()
  if limit > 0 then
    redis.call('ZADD', stem .. ':waiting', now, consumer)
    redis.call('HSET', key, 'waiting', 1)
    mark = 1
  end
  redis.call('HSET', key, 'turn', turn, 'granted', '', 'base', t.digits(base), 'left', left)
end
if mark then redis.call('HSET', key, 'odd', 1) end
if gap < 0 or gap * 24 > lease or not queue[1] then redis.call('HSET', stem, 'stamp', now) end
return {next_due, version, lost, got, now}
