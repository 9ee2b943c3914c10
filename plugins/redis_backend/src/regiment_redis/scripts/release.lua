-- Speaks for a consumer that cannot: settles what it has done, gives back the rest.
-- KEYS[1]  stem of the queue
-- ARGV     1 consumer, 2 close (0, 1), 3 and 4 first and last of what is given back (empty: everything), 5 number of done
--          spans, first and last of each, then suspects: receipt and note
-- returns  1
--#include now.lua
--#effects given.lua
--#flow flowed.lua
--#include tools.lua
--#flow admitting.lua
--#effects effects.lua
local t, consumer = tools(), ARGV[1]
local holder = t.holder(consumer)
local key = holder.key
if holder.known then
  local after = 6 + 2 * tonumber(ARGV[5])
  local spans = holder.done and cmsgpack.unpack(holder.done) or {}
  local all = t.list(holder)
  --#effects taking.lua
  for i = 6, after - 1, 2 do
    local first, last = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    -- Only what is there: a span reaches over all that the consumer ever did (R2), which may be millions.
    local listed = {}
    for _, pair in ipairs(all) do
      if first <= pair[1] and pair[1] <= last then listed[#listed + 1] = pair end
    end
    local _, settled = t.pick(holder, listed, true)
    for _, span in ipairs(settled) do spans[#spans + 1] = span end
  end
  --#effects leaving.lua
  local suspects = {}
  for i = after, #ARGV, 2 do suspects[tonumber(ARGV[i])] = ARGV[i + 1] end
  local first, last = tonumber(ARGV[3]), tonumber(ARGV[4])
  local taken = {}
  if not first then
    taken = t.empty(holder)
  else
    local listed = {}
    for _, pair in ipairs(t.list(holder)) do
      if first <= pair[1] and pair[1] <= last then listed[#listed + 1] = pair end
    end
    taken = t.pick(holder, listed, false)
  end
  local delays = {}
  for delay in string.gmatch(redis.call('HGET', key, 'poison') or '', '[^,]+') do delays[#delays + 1] = tonumber(delay) end
  local fronts = {}
  for _, pair in ipairs(taken) do
    local note, delay, element = suspects[pair[1]], 0, pair[2]
    if note then
      local task = t.open(element)
      task.count = task.count + 1
      if note ~= '' then task.note = note end
      delay = delays[math.min(task.count, #delays)] or 0
      element = t.seal(task)
    end
    if delay > 0 then t.delay(element, now + delay) else fronts[#fronts + 1] = {pair[1], element} end
  end
  t.front(fronts)
  if #spans > 0 and ARGV[2] ~= '1' then
    while #spans > 1024 do table.remove(spans, 1) end
    redis.call('HSET', key, 'done', cmsgpack.pack(spans))
    holder.odd = bit.bor(holder.odd, 1)
    t.save(holder)
  end
end
if ARGV[2] == '1' then t.entomb(consumer) end
-- A consumer that was woken and died took the wake-up with it: pass it on.
--#flow: f.flush()
--#flow: if f.handed or f.closed or f.added > 0 then t.rouse() end
if t.earlier then t.rouse() end
if redis.call('EXISTS', stem .. ':waiting') == 1 then t.wake(t.length()) end
--#effects: do return tonumber(redis.call('HGET', stem, 'version')) or 0 end
return 1
