-- Whether the payload of an element holds the bytes `wanted`. Nothing is copied for it.
local function holds(element)
  if wanted == '' then return true end
  local from = 11
  --#flow: local first = string.byte(element)
  --#flow: if first > 31 then from = 14 + string.byte(element, 11) + struct.unpack('>I2', element, 12 + string.byte(element, 11)) end
  --#flow: if first % 32 > 15 then local _, _, note, id = struct.unpack('>I2I6I4I2', element, from) from = from + 14 + note + id end
  --#plain
  if string.byte(element) > 15 then
    local _, _, note, id = struct.unpack('>I2I6I4I2', element, 11)
    from = 25 + note + id
  end
  --#end
  return string.find(element, wanted, from, true) ~= nil
end
-- How many elements to read at once: those that would fit into a step's 4 MiB if all were four times as large as the largest before.
local room = 4194304
local function at_once(left, largest)
  return math.max(1, math.min(left, largest > 0 and math.floor(room / largest / 4) or 1))
end
