-- Tasks that are sent: what is due now is collected, and pushed at the end of the step.
local function fresh(t, id, window)
  local ids, live = stem .. ':ids', stem .. ':live'
  if not here.swept then redis.call('ZREMRANGEBYSCORE', ids, '-inf', now) end
  here.swept = true
  if redis.call('ZSCORE', ids, id) or redis.call('SISMEMBER', live, id) == 1 then return false end
  redis.call('ZADD', ids, t.digits(now + window), id)
  redis.call('SADD', live, id)
  here.named = true
  return true
end

-- list[i] is the priority. `counts`: which payloads are left out is told.
local function send(list, i, counts)
  local t = tools()
  local priority, due, window, many = list[i], now, tonumber(list[i + 3]), tonumber(list[i + 5])
  if list[i + 1] == 'in' then due = now + tonumber(list[i + 2]) end
  if list[i + 1] == 'at' then due = tonumber(list[i + 2]) end
  local named, head = list[i + 4] == '1', string.char(tonumber(priority))
  local ready, first = here.lists[priority] or {}, i + 6 + (named and many or 0)
  for n = 0, many - 1 do
    local id, payload = named and list[i + 6 + n] or '', list[first + n]
    if id ~= '' and not fresh(t, id, window) then
      if counts and stem == home then e.left_out[#e.left_out + 1] = e.sent end
    else
      local element
      if id == '' then
        element = head .. t.place() .. payload
      else
        element = t.seal({
          priority = tonumber(priority), place = t.place(), count = 0, parked = 0, note = '', id = id, payload = payload,
        })
      end
      if due > now then t.delay(element, due) else ready[#ready + 1] = element end
    end
    if counts and stem == home then e.sent = e.sent + 1 end
  end
  here.lists[priority] = ready
end

-- One task without an id that is due now, as most are.
local function send_one(priority, payload, counts)
  local ready = here.lists[priority] or {}
  here.lists[priority] = ready
  ready[#ready + 1] = string.char(tonumber(priority)) .. tools().place() .. payload
  if counts and stem == home then e.sent = e.sent + 1 end
end

local function push_sent()
  for priority, list in pairs(here.lists) do
    local t = tools()
    t.know(priority)
    if #list > 0 then
      t.each('RPUSH', stem .. ':ready:' .. priority, list)
      t.added = t.added + #list
    end
  end
  if here.named then tools().put('ids', 1) end
end
