-- Keys that live as long as a task (U1 to U4). What a ticket has behind its lane: nothing, or 0 and the id of the task, or 1 (2: there is no key) and 6 bytes
-- number of the task, 6 ms of the first push, 1 until (0 done, 1 start, 2 a time), 6 ms of that time, 6 longest, 1 clash (0 keep, 1
-- replace, 2 later), 1 length of the key, key, id.
-- S:unique has of each key 1 byte state ("w" waits, "r" runs, "e" ended), 6 number, 6 ms until when it is held (0: with its task), 1
-- until, id. S:next has the same of a successor that waits while the holder runs. S:ends: key -> ms, of those that a time ends.
do
  local call, sub = redis.call, string.sub
  local unique, nexts = stem .. ':unique', stem .. ':next'

  -- What an element has behind its lane; nil if it has no key.
  function f.key_of(element)
    if string.byte(element) % 64 < 32 then return nil end
    local n = string.byte(element, 11)
    local size = struct.unpack('>I2', element, 12 + n)
    if size == 0 or string.byte(element, 14 + n) ~= 1 then return nil end
    return sub(element, 14 + n, 13 + n + size)
  end
  function f.parts(part)
    local first, kind, time, longest, clash, size = struct.unpack('>I6BI6I6BB', part, 8)
    return {
      number = sub(part, 2, 7), first = first, kind = kind, time = time, longest = longest, clash = clash,
      key = sub(part, 29, 28 + size), id = sub(part, 29 + size),
    }
  end
  local function read(hash, key)
    local value = call('HGET', hash, key)
    if not value then return nil end
    local till, kind = struct.unpack('>I6B', value, 8)
    if till > 0 and till <= now then return 'over' end
    return {state = sub(value, 1, 1), number = sub(value, 2, 7), till = till, kind = kind, id = sub(value, 15), value = value}
  end
  -- The holder has the key no more: its successor has it.
  local function pass_on(key)
    local follower = read(nexts, key)
    if follower then call('HDEL', nexts, key) end
    if follower and follower ~= 'over' then
      call('HSET', unique, key, follower.value)
    else
      call('HDEL', unique, key)
      call('ZREM', stem .. ':ends', key)
    end
  end
  -- Who has the key, or nil.
  function f.holder_of(key)
    local holder = read(unique, key)
    if holder == 'over' then
      pass_on(key)
      holder = read(unique, key)
    end
    return holder
  end
  function f.successor_of(key)
    local follower = read(nexts, key)
    if follower == 'over' then
      call('HDEL', nexts, key)
      return nil
    end
    return follower
  end
  -- Writes that the task of these parts has the key, or is the successor.
  function f.hold(p, successor, since)
    local till = p.kind == 2 and (since or now) + p.time or 0
    call('HSET', successor and nexts or unique, p.key, 'w' .. p.number .. struct.pack('>I6B', till, p.kind) .. p.id)
    if till > 0 then call('ZADD', stem .. ':ends', 'GT', string.format('%.0f', till), p.key) end
  end
  local function turn(p, state)
    local holder = f.holder_of(p.key)
    if holder and holder.number == p.number then
      if state then call('HSET', unique, p.key, state .. sub(holder.value, 2)) else pass_on(p.key) end
      return
    end
    local follower = f.successor_of(p.key)
    if follower and follower.number == p.number then
      if not state then
        call('HDEL', nexts, p.key)
      elseif state == 'r' then
        call('HDEL', nexts, p.key)
        call('HSET', unique, p.key, 'r' .. sub(follower.value, 2))
      end
    end
  end
  function f.comes_back(part) turn(f.parts(part), 'w') end
  function f.runs(part)
    local p = f.parts(part)
    turn(p, p.kind ~= 1 and 'r')
  end
  function f.over(part)
    local p = f.parts(part)
    turn(p, p.kind == 2 and 'e')
  end
  -- It was taken away: the key is free at once.
  function f.free(part) turn(f.parts(part), false) end
  -- Keys whose time is over; at most 16 a call.
  function f.sweep()
    for _, key in ipairs(call('ZRANGEBYSCORE', stem .. ':ends', '-inf', now, 'LIMIT', 0, 16)) do
      call('ZREM', stem .. ':ends', key)
      f.holder_of(key)
      f.successor_of(key)
    end
  end
end
