-- How spots stand. Writes only what has come to its time.
-- KEYS[1]  stem of the queue
-- ARGV     1 "of", then spots | 2 "queue", most, name of a pool behind which to go on ("": behind the queue), 1 if there is such a name | 3 "pool", its name,
--          most, lane to go on behind, 1 if there is one
-- returns  for each spot: {spot, waiting, running, what was given of the rule that holds, "c", "o" or empty, ms until its gate opens or "inf", ms until its rate lets the next one go}
--#include now.lua
--#include flowed.lua
--#include tools.lua
local t = tools()
f.open_gates()
--#include census.lua
local runs
local function running(spot)
  local pool = spot ~= '' and f.pool_of(spot)
  if not pool or pool == spot or f.counted(f.lane_rule(spot, pool)) then return f.running(spot) end
  if not runs then runs = census(false) end
  return runs[spot] or 0
end
local function standing(spot)
  local pool, given, source = spot ~= '' and f.pool_of(spot), nil, ''
  for _, who in ipairs({'o', 'c'}) do
    local text = not given and redis.call('HGET', stem .. ':rules', who .. spot)
    if text then given, source = text, who end
  end
  local rule = f.rule_of(spot)
  if not given and rule then
    local of = pool == '0:' and '' or pool
    for _, who in ipairs({'o', 'c'}) do given = given or redis.call('HGET', stem .. ':rules', who .. of) or nil end
    source = 'l'
  end
  local gate = redis.call('ZSCORE', stem .. ':gates', 'g' .. spot)
  local left = gate == 'inf' and 'inf' or string.format('%.0f', math.max(math.ceil((tonumber(gate) or 0) - f.now), 0))
  local rate = rule and rule[2] > 0 and f.tokens(spot, rule) == 0 and math.max(math.ceil(f.opening(spot, rule) - f.now), 1) or 0
  return {spot, f.waits(spot), running(spot), given or '', source, left, rate}
end
local function idle(one)
  return one[2] == 0 and one[3] == 0 and (one[4] == '' or one[5] == 'l') and one[6] == '0'
end
local found = {}
if ARGV[1] == 'of' then
  for i = 2, #ARGV do found[#found + 1] = standing(ARGV[i]) end
else
  local pools, names, lanes = ARGV[1] == 'queue', {}, {}
  local most, after, is_after = tonumber(ARGV[pools and 2 or 3]), ARGV[pools and 3 or 4], ARGV[pools and 4 or 5] == '1'
  local pool = not pools and #ARGV[2] .. ':' .. ARGV[2]
  local function name_of(spot)
    local of = f.pool_of(spot)
    if pools then return spot ~= '' and of == spot and string.sub(spot, string.find(spot, ':', 1, true) + 1) end
    return of == pool and spot ~= pool and string.sub(spot, #pool + 2)
  end
  local function note(name)
    if name and name ~= '' and (not is_after or name > after) and not names[name] then
      names[name] = true
      lanes[#lanes + 1] = name
    end
  end
  local index = pools and stem .. ':pools' or stem .. ':lanes:' .. pool
  for _, name in ipairs(redis.call('ZRANGEBYLEX', index, is_after and '(' .. after or '-', '+', 'LIMIT', 0, most + 1)) do note(name) end
  for _, spot in ipairs(redis.call('ZRANGE', stem .. ':shown', 0, -1)) do
    if spot ~= '' then note(name_of(spot)) end
  end
  if not pools then
    runs = census(false)
    for spot in pairs(runs) do
      if spot ~= '' then note(name_of(spot)) end
    end
  end
  table.sort(lanes)
  if pools and not is_after then
    local whole = standing('')
    if not idle(whole) then found[1] = whole end
  end
  for _, name in ipairs(lanes) do
    if #found >= most then break end
    local one = standing(pools and #name .. ':' .. name or pool .. ':' .. name)
    if not idle(one) then found[#found + 1] = one end
  end
end
f.flush()
return found
