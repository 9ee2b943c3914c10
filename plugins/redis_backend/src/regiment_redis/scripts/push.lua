-- Stores payloads at the tail of their priority, or as due later. The first write can be refused for lack of memory;
-- then nothing has happened.
-- KEYS[1]  stem of the queue
-- ARGV     1 token: ":" and its text, or "s:" and the part of a process's tokens that has its bit, 2 ms that it is remembered, 3 priority,
--          4 due: empty, "+" and ms of delay, or "=" and ms since the epoch, 5 the token's bit, or empty, 6 ms that ids are remembered,
--          7 number of ids (0, or one for each payload), ids, payloads
-- returns  the indexes (from 0) of payloads that were left out, as text with commas; the same for a token seen before
--#flow: if not redis.call('HGET', KEYS[1], 'flow') then return redis.error_reply('NOFLOW this queue has never seen a ticket or a rule') end
local token = KEYS[1] .. ':token' .. ARGV[1]
if ARGV[5] == '' then
  if not redis.call('SET', token, '', 'NX', 'PX', ARGV[2]) then return redis.call('GET', token) end
else
  if redis.call('SETBIT', token, ARGV[5], 1) == 1 then return '' end
  redis.call('PEXPIRE', token, ARGV[2])
end
--#include now.lua
--#flow flowed.lua
--#include tools.lua
local priority, from = tonumber(ARGV[3]), 8 + tonumber(ARGV[7])
local due = now
if ARGV[4] ~= '' then
  due = tonumber(string.sub(ARGV[4], 2))
  due = string.byte(ARGV[4]) == 43 and now + due or math.max(now, due)
end
local head, elements, out = string.char(priority), {}, ''
local micros, pack = clock[1] * 1000000 + clock[2], struct.pack
if from == 8 then
  local char, place = string.char, head .. pack('>I7', micros)
  for i = 8, #ARGV do
    local number = (i - 8) % 65536
    if number == 0 and i > 8 then
      micros = micros + 1
      place = head .. pack('>I7', micros)
    end
    elements[i - 7] = place .. char((number - number % 256) / 256, number % 256) .. ARGV[i]
  end
else
  local t, ids, live, left = tools(), stem .. ':ids', stem .. ':live', {}
  redis.call('ZREMRANGEBYSCORE', ids, '-inf', now)
  for i = from, #ARGV do
    local id = ARGV[8 + i - from]
    if redis.call('ZSCORE', ids, id) or redis.call('SISMEMBER', live, id) == 1 then
      left[#left + 1] = i - from
    else
      redis.call('ZADD', ids, t.digits(now + tonumber(ARGV[6])), id)
      redis.call('SADD', live, id)
      elements[#elements + 1] =
        t.seal({priority = priority, place = t.place(), count = 0, parked = 0, note = '', id = id, payload = ARGV[i]})
    end
  end
  if redis.call('EXISTS', live) == 1 then t.put('ids', 1) end
  out = table.concat(left, ',')
  if out ~= '' then redis.call('SET', token, out, 'XX', 'PX', ARGV[2]) end
end
if #elements == 0 then return out end
--#flow: if due <= now then tools().tail(elements) end
--#flow: if due > now then for _, element in ipairs(elements) do tools().delay(element, due) end tools().know(ARGV[3]) end
--#flow: f.flush()
--#flow: made.rouse()
--#flow: do return out end
if due > now then
  for _, element in ipairs(elements) do tools().delay(element, due) end
  tools().know(ARGV[3])
  if made.earlier then made.rouse() end
  return out
end
local known = redis.call('HGET', stem, 'priorities')
if not (known and string.find(known, ARGV[3], 1, true)) then tools().know(ARGV[3]) end
local list = stem .. ':ready:' .. ARGV[3]
if #elements == 1 then
  redis.call('RPUSH', list, elements[1])
else
  for i = 1, #elements, 1000 do redis.call('RPUSH', list, unpack(elements, i, math.min(i + 999, #elements))) end
end
if redis.call('EXISTS', stem .. ':waiting') == 1 then tools().wake(#elements) end
return out
