-- Takes tasks with tickets: `spot` is the lane, `rest` what stands behind it in a ticket (keys.lua), with zeros for number and time.
local function state_of(holder)
  if holder.state == 'r' then return 'leased' end
  if holder.state == 'e' then return 'ended' end
  return redis.call('ZSCORE', stem .. ':delayed', holder.number) and 'delayed' or 'ready'
end
local swept
local function is_known(id)
  if not swept then redis.call('ZREMRANGEBYSCORE', stem .. ':ids', '-inf', now) end
  swept = true
  return redis.call('ZSCORE', stem .. ':ids', id) or redis.call('SISMEMBER', stem .. ':live', id) == 1
end
local function register(id, window)
  if id == '' then return end
  local t = tools()
  redis.call('ZADD', stem .. ':ids', t.digits(now + window), id)
  redis.call('SADD', stem .. ':live', id)
  if not redis.call('HGET', stem, 'ids') then t.put('ids', 1) end
end
-- The new task takes the place of one that waits. Its lane, number and first push stay those of the old one.
local function replace(other, successor, priority, due, id, rest, payload)
  local t = tools()
  local delayed, bodies, number = stem .. ':delayed', stem .. ':bodies', other.number
  local body = redis.call('HGET', bodies, number)
  local old, spot, part = t.open(body), f.spot(body), f.key_of(body)
  rest = '\1' .. string.sub(part, 2, 13) .. string.sub(rest, 14)
  local p = f.parts(rest)
  local task = {
    priority = old.priority, place = old.place, id = id, payload = payload, count = 0, parked = 0, note = '',
    ticket = string.char(#spot) .. spot .. struct.pack('>I2', #rest) .. rest,
  }
  if old.id ~= '' then t.unlive(old.id) end
  f.hold(p, successor)
  local score = tonumber(redis.call('ZSCORE', delayed, number))
  if not score then
    redis.call('HSET', bodies, number, t.seal(task))
    return
  end
  task.priority = tonumber(priority)
  local at = math.min(due, score)
  if p.clash == 2 then at = p.longest > 0 and math.min(due, p.first + p.longest) or due end
  if at <= now then
    redis.call('ZREM', delayed, number)
    redis.call('HDEL', bodies, number)
    f.left(spot, 1, true)
    t.tail({t.seal(task)})
    return
  end
  t.know(priority)
  local first = tonumber(redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2])
  redis.call('HSET', bodies, number, t.seal(task))
  redis.call('ZADD', delayed, t.digits(at), number)
  if at < first then
    t.earlier = true
    t.soon(at)
  end
end
-- One payload. Returns what it met: {did, holder, state}, or nil. What is ready is collected in `ready`.
local function admit(priority, due, window, id, spot, rest, payload, ready)
  local t = tools()
  if id ~= '' and is_known(id) then return {'known', '', ''} end
  local keyed = string.byte(rest) == 1
  if keyed then
    local p = f.parts(rest)
    local holder = f.holder_of(p.key)
    local successor = false
    if holder then
      if p.clash == 0 then return {'kept', holder.id, state_of(holder)} end
      local other = f.successor_of(p.key)
      if other or holder.state == 'w' then
        local state = state_of(other or holder)
        -- What is ready in this call has to stand in its lane before it is replaced.
        ready.push()
        replace(other or holder, other ~= nil, priority, due, id, rest, payload)
        register(id, window)
        return {'replaced', (other or holder).id, state}
      end
      successor = holder.state == 'r'
    end
    rest = '\1' .. struct.pack('>I6I6', redis.call('HINCRBY', stem, 'sequence', 1), now) .. string.sub(rest, 14)
    f.hold(f.parts(rest), successor)
  end
  register(id, window)
  local ticket = string.char(#spot) .. spot .. struct.pack('>I2', #rest) .. rest
  if spot == '0::' and rest == '' then ticket = '' end
  local element = t.seal({
    priority = tonumber(priority), place = t.place(), count = 0, parked = 0, note = '', id = id, payload = payload, ticket = ticket,
  })
  if due > now then
    t.delay(element, due)
    t.know(priority)
  else
    ready[#ready + 1] = element
  end
  return nil
end
local function gathered()
  local ready = {}
  function ready.push()
    if #ready == 0 then return end
    local some = {}
    for i, element in ipairs(ready) do some[i] = element end
    for i = #ready, 1, -1 do ready[i] = nil end
    tools().tail(some)
  end
  return ready
end
