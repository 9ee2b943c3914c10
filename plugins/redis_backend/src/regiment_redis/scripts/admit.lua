-- Pushes with tickets. The first write can be refused for lack of memory; then nothing has happened.
-- KEYS[1]  stem of the queue
-- ARGV     1 token, 2 ms that it is remembered, 3 priority, 4 "now", "in" or "at", 5 ms of delay, or ms since the epoch, 6 ms that ids
--          are remembered, then for each payload: id or empty, lane (flow.lua), rest of the ticket (keys.lua), payload
-- returns  what some met: {index, did, holder, state, index, ...}; the same for a token seen before. If a spot is full, {spot, its
--          limit, what waits, what came}, all as text behind "full"
--#include now.lua
local token = stem .. ':token:' .. ARGV[1]
local said = not redis.call('SET', token, '', 'NX', 'PX', ARGV[2]) and redis.call('GET', token)
if said then return said == '' and {} or cmsgpack.unpack(said) end
--#include begin.lua
--#include admitting.lua
local due = now
if ARGV[4] == 'in' then due = now + tonumber(ARGV[5]) end
if ARGV[4] == 'at' then due = math.max(now, tonumber(ARGV[5])) end
local window = tonumber(ARGV[6])

-- How many would come to each spot that has a bound.
if f.flags > 0 then
  local more, order, seen = {}, {}, {}
  local function adds(id, rest)
    if id ~= '' then
      if seen['i' .. id] or is_known(id) then return false end
      seen['i' .. id] = true
    end
    if string.byte(rest) ~= 1 then return true end
    local p = f.parts(rest)
    if seen['k' .. p.key] then return false end
    local holder = f.holder_of(p.key)
    if holder and (p.clash == 0 or holder.state == 'w' or f.successor_of(p.key)) then return false end
    seen['k' .. p.key] = true
    return true
  end
  for i = 7, #ARGV, 4 do
    if adds(ARGV[i], ARGV[i + 2]) then
      local pool = f.pool_of(ARGV[i + 1])
      for _, spot in ipairs({'', pool, ARGV[i + 1]}) do
        if not more[spot] then order[#order + 1] = spot end
        more[spot] = (more[spot] or 0) + 1
      end
    end
  end
  for _, spot in ipairs(order) do
    local rule = f.rule_of(spot)
    if rule and rule[5] > 0 and spot ~= '0:' then
      local waits = f.waits(spot)
      if waits + more[spot] > rule[5] then
        redis.call('DEL', token)
        f.flush()
        return {'full', spot, tostring(rule[5]), tostring(waits), tostring(more[spot])}
      end
    end
  end
end
local met, ready = {}, gathered()
for i = 7, #ARGV, 4 do
  local one = admit(ARGV[3], due, window, ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ready)
  if one then
    for _, text in ipairs({tostring((i - 7) / 4), unpack(one)}) do met[#met + 1] = text end
  elseif string.byte(ARGV[i + 2]) == 1 then
    ready.push()
  end
end
ready.push()
if #met > 0 then redis.call('SET', token, cmsgpack.pack(met), 'PX', ARGV[2]) end
f.flush()
t.rouse()
return met
