-- What a task looks like in a list: 1 byte (priority, +16 if extended), 9 bytes of place: since when it is ready in us (7)
-- and its number in that moment (2); and only if extended 2 bytes count, 6 bytes time of the first parking in ms, 4 + 2
-- bytes lengths of note and id, note, id; then the payload. An ordinary task has the 10 bytes only. A list is in the order
-- of places, so that what comes back finds its own.
--#flow opened.lua
--#plain
local function open(element)
  local head, place = string.byte(element), string.sub(element, 2, 10)
  if head < 16 then
    return {priority = head, place = place, count = 0, parked = 0, note = '', id = '', payload = string.sub(element, 11)}
  end
  local count, parked, note, id = struct.unpack('>I2I6I4I2', element, 11)
  return {
    priority = head - 16, place = place, count = count, parked = parked,
    note = string.sub(element, 25, 24 + note),
    id = string.sub(element, 25 + note, 24 + note + id),
    payload = string.sub(element, 25 + note + id),
  }
end
local function seal(task)
  if task.count == 0 and task.parked == 0 and task.note == '' and task.id == '' then
    return string.char(task.priority) .. task.place .. task.payload
  end
  local sizes = struct.pack('>I2I6I4I2', math.min(task.count, 65535), task.parked, #task.note, #task.id)
  return string.char(task.priority + 16) .. task.place .. sizes .. task.note .. task.id .. task.payload
end
--#end
