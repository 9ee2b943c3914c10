-- What a task looks like in a list: 1 byte (priority, +16 if extended), 6 bytes time in ms (since when it is ready, or
-- when it is due), and only if extended 2 bytes count, 6 bytes time of the first parking, 4 + 2 bytes lengths of note and
-- id, note, id; then the payload. An ordinary task has the 7 bytes only.
local function open(element)
  local head, at = struct.unpack('>BI6', element)
  if head < 16 then
    return {priority = head, at = at, count = 0, parked = 0, note = '', id = '', payload = string.sub(element, 8)}
  end
  local count, parked, note, id = struct.unpack('>I2I6I4I2', element, 8)
  return {
    priority = head - 16, at = at, count = count, parked = parked,
    note = string.sub(element, 22, 21 + note),
    id = string.sub(element, 22 + note, 21 + note + id),
    payload = string.sub(element, 22 + note + id),
  }
end
local function seal(task)
  if task.count == 0 and task.parked == 0 and task.note == '' and task.id == '' then
    return struct.pack('>BI6', task.priority, task.at) .. task.payload
  end
  local count = math.min(task.count, 65535)
  return struct.pack('>BI6I2I6I4I2', task.priority + 16, task.at, count, task.parked, #task.note, #task.id)
    .. task.note .. task.id .. task.payload
end
