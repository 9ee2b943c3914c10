-- Ready lists are in the order of places: since when a task is ready in us, and its number in that moment (element.lua).

-- The lists that an exchange leases from, in its order: {name, priority of what lies there}. One of them may lie aside
-- (aside.lua): it has the front of another priority's list.
local function ready_lists()
  local known = redis.call('HMGET', stem, 'priorities', 'aside')
  local lists, aside = {}, known[2] or ''
  for digit in string.gmatch(known[1] or '', '%d') do
    local of = digit == string.sub(aside, 1, 1) and string.sub(aside, 2, 2) or digit
    lists[#lists + 1] = {stem .. ':ready:' .. digit, of}
  end
  return lists
end

-- The index of the first element of a list that lies behind the place {us, number}, and the places of the element before it;
-- `hint` is an index near it. Bytes are compared as numbers: strings, Lua compares as the server's language does.
local function behind(list, place, hint)
  local length = redis.call('LLEN', list)
  local low, high, step = 0, length, 1
  local function is_behind(index)
    local us, number = struct.unpack('>I7I2', redis.call('LINDEX', list, index), 2)
    return us > place[1] or us == place[1] and number > place[2], us == place[1] and number == place[2]
  end
  local at = math.min(hint, length - 1)
  while low < high and at >= low and at < high do
    local over, same = is_behind(at)
    if same then return at + 1, true, length end
    if over then high = at else low = at + 1 end
    at = over and at - step or at + step
    step = step * 2
  end
  while low < high do
    local middle = math.floor((low + high) / 2)
    local over, same = is_behind(middle)
    if same then return middle + 1, true, length end
    if over then high = middle else low = middle + 1 end
  end
  return low, false, length
end
