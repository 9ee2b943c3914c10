-- With flow, 32 is added to the first byte of an element that has a ticket: behind the place there are then 1 byte length of its lane
-- (flow.lua), lane, 2 bytes length of the rest (keys.lua), rest. With 64 it is a reference, as those with a key are that wait: behind
-- the place there is the number under which the element is in S:bodies.
local function open(element)
  local head, place, ticket, at = string.byte(element), string.sub(element, 2, 10), '', 11
  if head > 31 then
    local n = string.byte(element, 11)
    at = 14 + n + struct.unpack('>I2', element, 12 + n)
    ticket, head = string.sub(element, 11, at - 1), head - 32
  end
  local task = {priority = head % 16, place = place, ticket = ticket, count = 0, parked = 0, note = '', id = ''}
  if head < 16 then
    task.payload = string.sub(element, at)
    return task
  end
  local count, parked, note, id = struct.unpack('>I2I6I4I2', element, at)
  task.count, task.parked = count, parked
  task.note, task.id = string.sub(element, at + 14, at + 13 + note), string.sub(element, at + 14 + note, at + 13 + note + id)
  task.payload = string.sub(element, at + 14 + note + id)
  return task
end
local function seal(task)
  local ticket = task.ticket or ''
  local head, sizes = task.priority + (ticket ~= '' and 32 or 0), ''
  if task.count ~= 0 or task.parked ~= 0 or task.note ~= '' or task.id ~= '' then
    head = head + 16
    sizes = struct.pack('>I2I6I4I2', math.min(task.count, 65535), task.parked, #task.note, #task.id)
  end
  return string.char(head) .. task.place .. ticket .. sizes .. task.note .. task.id .. task.payload
end
