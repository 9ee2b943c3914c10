-- Tasks in lanes that an operator's hand changes: a place there is priority, 9 bytes of place, spot of its lane.
local spots = {}
local function steered_lists()
  local lists, order = {}, {}
  for i = 5, #ARGV do
    if string.sub(ARGV[i], 1, 1) ~= 'd' then
      local p, spot = string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 11)
      local key = f.list(p, spot == '' and '0::' or spot)
      if not lists[key] then
        lists[key] = {}
        spots[key] = {p, spot == '' and '0::' or spot}
        order[#order + 1] = {key, lists[key]}
      end
      table.insert(lists[key], i)
    end
  end
  return order
end
local function taken_out(reference)
  local number = string.sub(reference, 11)
  local body = redis.call('HGET', stem .. ':bodies', number)
  redis.call('HDEL', stem .. ':bodies', number)
  return string.sub(body, 1, 1) .. string.sub(reference, 2, 10) .. string.sub(body, 11)
end
local function left_lane(key, many)
  local p, spot = unpack(spots[key])
  f.left(spot, many)
  if redis.call('EXISTS', key) == 0 then f.vacated(p, spot) end
end
