-- Changes tasks that wait: deletes them, or gives them another priority or another time. Each is found where it is or left alone,
-- so that either a worker has it or this step.
-- KEYS[1]  stem of the queue
-- ARGV     1 "drop" or "change", 2 priority or empty, 3 ms of delay or empty, 4 how many tasks lie between a place and the nearer
--          end of its list at most (-1: any number), then places: priority and 9 bytes if it is ready, "d" and 6 bytes if it is delayed
-- returns  {a text with a letter for each place: "y" done, "n" not there, "f" too far inside its list, "l" left for the next step; 1 if tasks lie aside, else 0}
--#include now.lua
--#plain
--#include guard.lua
--#end
--#flow flowed.lua
--#include tools.lua
--#include places.lua
--#flow steered.lua
local t, drop, delay, far = tools(), ARGV[1] == 'drop', tonumber(ARGV[3]), tonumber(ARGV[4])
local delayed, bodies, told, room = stem .. ':delayed', stem .. ':bodies', {}, 4194304

local function change(element)
  --#flow: if string.byte(element) > 63 then element = taken_out(element) end
  local task = t.open(element)
  --#flow: local part = drop and f.key_of(element)
  --#flow: if part then f.free(part) end
  if drop then
    if task.id ~= '' then
      redis.call('ZREM', stem .. ':ids', task.id)
      --#flow: redis.call('ZREM', stem .. ':ids', t.plain_id(task.id))
      t.unlive(task.id)
    end
    return nil
  end
  if ARGV[2] == '' then return element end
  task.priority = tonumber(ARGV[2])
  t.know(ARGV[2])
  return t.seal(task)
end

-- Those of one list are found first, then marked, and taken out together: by the walk from the nearer end.
local function ready(list, wanted)
  local indexes, taken, hint = {}, {}, 0
  for _, i in ipairs(wanted) do
    local index, there, length = behind(list, {struct.unpack('>I7I2', ARGV[i], 2)}, hint)
    hint = index
    local depth = math.min(index - 1, length - index)
    if there and far >= 0 and depth > far then
      told[i - 4] = 'f'
    elseif there and room <= 0 then
      told[i - 4] = 'l'
    elseif there then
      told[i - 4] = 'y'
      indexes[#indexes + 1], taken[#taken + 1] = index - 1, redis.call('LINDEX', list, index - 1)
      room = room - #taken[#taken]
    end
  end
  if #indexes == 0 then return end
  local length, front, rear = redis.call('LLEN', list), 0, 0
  for _, index in ipairs(indexes) do
    redis.call('LSET', list, index, '-')
    if index < length / 2 then front = front + 1 else rear = rear + 1 end
  end
  if front > 0 then redis.call('LREM', list, front, '-') end
  if rear > 0 then redis.call('LREM', list, -rear, '-') end
  --#flow: left_lane(list, #taken)
  local tails = {}
  for _, element in ipairs(taken) do
    element = change(element)
    if element and delay and delay > 0 then t.delay(element, now + delay) elseif element then tails[#tails + 1] = element end
  end
  t.tail(tails)
end

local function later(i)
  if room <= 0 then
    told[i - 4] = 'l'
    return
  end
  local number = string.sub(ARGV[i], 2)
  local element = redis.call('ZSCORE', delayed, number) and redis.call('HGET', bodies, number)
  if not element then return end
  told[i - 4], room = 'y', room - #element
  if drop or delay == 0 then
    redis.call('ZREM', delayed, number)
    redis.call('HDEL', bodies, number)
    --#flow: f.left(f.spot(element), 1, true)
  end
  element = change(element)
  if not element then return end
  if delay == 0 then return t.tail({element}) end
  if ARGV[2] ~= '' then redis.call('HSET', bodies, number, element) end
  if delay then
    local due, first = now + delay, tonumber(redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2])
    redis.call('ZADD', delayed, t.digits(due), number)
    if due < first then
      t.earlier = true
      t.soon(due)
    end
  end
end

for i = 5, #ARGV do
  told[i - 4] = 'n'
  if string.sub(ARGV[i], 1, 1) == 'd' then later(i) end
end
--#flow: for _, list in ipairs(steered_lists()) do ready(list[1], list[2]) end
--#flow: f.flush()
--#flow: t.rouse()
--#flow: do return {table.concat(told), 0} end
for _, list in ipairs(ready_lists()) do
  local wanted = {}
  for i = 5, #ARGV do
    if string.sub(ARGV[i], 1, 1) == list[2] and told[i - 4] == 'n' then wanted[#wanted + 1] = i end
  end
  ready(list[1], wanted)
end
t.rouse()
return {table.concat(told), redis.call('HEXISTS', stem, 'aside')}
