-- Joins: S:join:J is a hash (state: open, done, shut, or none for a shell; members; sealed; arrived; ttl; then), S:bits:J has
-- a bit for each member that has arrived. Both end at the same moment.
local function join_of(name)
  local join = here.joins[name]
  if not join then
    local key = stem .. ':join:' .. name
    local known = redis.call('HMGET', key, 'state', 'members', 'sealed', 'arrived', 'ttl')
    join = {
      key = key, bits = stem .. ':bits:' .. name, state = known[1] or '', members = tonumber(known[2] or ''),
      sealed = tonumber(known[3] or ''), arrived = tonumber(known[4] or 0), ttl = known[5] or '604800000',
    }
    here.joins[name] = join
    here.joins[#here.joins + 1] = join
  end
  return join
end

-- How many of its members have arrived, now that it is known how many there are.
local function count_anew(join)
  join.arrived = redis.call('BITCOUNT', join.bits)
  for member = join.members, redis.call('STRLEN', join.bits) * 8 - 1 do
    join.arrived = join.arrived - redis.call('GETBIT', join.bits, member)
  end
end

local function look_whether_complete(join)
  if join.state == 'open' and join.members and join.arrived >= join.members then
    join.state = 'done'
    later[#later + 1] = {stem, join.left or redis.call('HGET', join.key, 'then')}
  end
end

local function arrive(name, member)
  local join = join_of(name)
  if redis.call('SETBIT', join.bits, member, 1) == 0 then
    join.touched = true
    if not join.members or member < join.members then
      join.arrived = join.arrived + 1
      look_whether_complete(join)
    end
  end
end

local function open_join(name, members, ttl, left)
  local join = join_of(name)
  if join.state ~= '' then return end
  join.state, join.members, join.ttl, join.left, join.touched = 'open', members or join.sealed, ttl, left, true
  if join.members and join.arrived > 0 then count_anew(join) end
  look_whether_complete(join)
end

local function seal_join(name, members)
  local join = join_of(name)
  if join.sealed or join.members or join.state == 'shut' or join.state == 'done' then return end
  join.sealed = members
  if join.state == 'open' then
    join.members = members
    count_anew(join)
    look_whether_complete(join)
  end
end

local function shut_join(name, ttl)
  local join = join_of(name)
  if join.state == 'done' or join.state == 'shut' then return end
  if join.state == '' then join.ttl, join.touched = ttl, true end
  join.state = 'shut'
end

local function save_joins()
  for _, join in ipairs(here.joins) do
    redis.call('HSET', join.key, 'state', join.state, 'members', join.members or '', 'sealed', join.sealed or '',
      'arrived', join.arrived, 'ttl', join.ttl)
    if join.state == 'open' then
      if join.left then redis.call('HSET', join.key, 'then', join.left) end
    else
      redis.call('HDEL', join.key, 'then')
    end
    if join.touched or redis.call('PTTL', join.key) < 0 then
      local till = string.format('%.0f', now + tonumber(join.ttl))
      redis.call('PEXPIREAT', join.key, till)
      redis.call('PEXPIREAT', join.bits, till)
    end
  end
end
