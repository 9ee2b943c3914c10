-- How elements stand in lists, with flow. One with a key lies in S:bodies, so that it can be replaced, and a reference in the list.
local function seat(element)
  local part = f.key_of(element)
  if not part then return element end
  local number = string.sub(part, 2, 7)
  redis.call('HSET', stem .. ':bodies', number, element)
  f.comes_back(part)
  return string.char(string.byte(element) % 16 + 64) .. string.sub(element, 2, 10) .. number
end

local function by_lane(elements)
  local lists, order = {}, {}
  for _, element in ipairs(elements) do
    local p, spot = tostring(string.byte(element) % 16), f.spot(element)
    local name = p .. spot
    if not lists[name] then
      lists[name] = {p = p, spot = spot}
      order[#order + 1] = lists[name]
    end
    table.insert(lists[name], element)
  end
  for _, list in ipairs(order) do t.know(list.p) end
  return order
end

-- To the tail of their lanes, in the order given, under new places.
function t.tail(elements)
  for _, list in ipairs(by_lane(elements)) do
    local many = #list
    for i = 1, many do
      list[i] = seat(string.sub(list[i], 1, 1) .. t.place() .. string.sub(list[i], 11))
    end
    local key, length = f.list(list.p, list.spot), 0
    for from = 1, many, 1000 do
      length = redis.call('RPUSH', key, unpack(list, from, math.min(from + 999, many)))
    end
    f.arrived(list.p, list.spot, many, length == many)
  end
end

local function place_of(element) return string.sub(element, 2, 10) end

-- In front of their lanes, each at its place; so what came back before and is older stays before them. Of that, at most two thousand
-- are looked through.
function t.front(taken)
  local elements = {}
  for i, pair in ipairs(taken) do elements[i] = pair[2] end
  for _, list in ipairs(by_lane(elements)) do
    local many, key = #list, f.list(list.p, list.spot)
    local fresh = redis.call('EXISTS', key) == 0
    local last = place_of(list[1])
    for i = 1, many do
      list[i] = seat(list[i])
      if place_of(list[i]) > last then last = place_of(list[i]) end
    end
    for _ = 1, 2000 do
      local first = redis.call('LINDEX', key, 0)
      if not first or place_of(first) > last then break end
      list[#list + 1] = redis.call('LPOP', key)
    end
    table.sort(list, function(a, b) return place_of(a) < place_of(b) end)
    local turned = {}
    for i = #list, 1, -1 do turned[#turned + 1] = list[i] end
    each('LPUSH', key, turned)
    f.arrived(list.p, list.spot, many, fresh)
  end
end

-- The number under which what is delayed is put away.
local function put_away(element)
  f.delayed(f.spot(element))
  local part = f.key_of(element)
  if not part then return struct.pack('>I6', redis.call('HINCRBY', stem, 'sequence', 1)) end
  f.comes_back(part)
  return string.sub(part, 2, 7)
end

-- These left a holder.
local function parted(holder, taken, over)
  if #taken == 0 then return end
  local spots = {}
  for _, pair in ipairs(taken) do
    f.holds(spots, pair[2], 1)
    local part = over and f.key_of(pair[2])
    if part then f.over(part) end
  end
  local mine = holder.mine
  for spot, n in pairs(spots) do
    mine[spot] = (mine[spot] or 0) - n
    if mine[spot] <= 0 then mine[spot] = nil end
  end
  if holder.left == 0 and redis.call('EXISTS', holder.held) == 0 then mine.s = nil end
  f.run('', -#taken)
  f.fewer(spots)
  f.freed(#taken)
  t.save(holder)
end
t.seat = seat
