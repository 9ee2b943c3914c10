-- Records: S:kept:K is 7 bytes version, 7 bytes rank, 1 byte flags, value. A version is the time in us, or one above the last
-- one: none comes back, whatever a fail-over or somebody's emptying has lost.
local function mark(key, record)
  local wants, rank = stem .. ':want:' .. key, struct.unpack('>I7', record, 8)
  local all = redis.call('HGETALL', wants)
  for i = 1, #all, 2 do
    local till, least = struct.unpack('>I7I7', all[i + 1])
    if till <= now or rank >= least then redis.call('HDEL', wants, all[i]) end
    if till > now and rank >= least then
      local inbox, text = stem .. ':inbox:' .. all[i], struct.pack('>I4', #key) .. key
      if #record <= 4111 then text = text .. record end
      if redis.call('RPUSH', inbox, text) > 10000 then
        redis.call('DEL', inbox)
        redis.call('RPUSH', inbox, '')
      end
      redis.call('PEXPIRE', inbox, 60000)
    end
  end
end

local function keep(key, ttl, body)
  if not here.version then
    here.version = math.max((tonumber(redis.call('HGET', stem, 'kept')) or 0) + 1, clock[1] * 1000000 + clock[2])
    here.last, here.head = here.version, struct.pack('>I7', here.version)
    here.followed = redis.call('EXISTS', stem .. ':followed') == 1
  end
  local name, record = stem .. ':kept:' .. key, here.head .. body
  local new
  if ttl == '' then
    new = redis.call('SET', name, record, 'NX')
  else
    new = redis.call('SET', name, record, 'NX', 'PX', ttl)
  end
  if not new then
    if struct.unpack('>I7', redis.call('GETRANGE', name, 7, 13)) > struct.unpack('>I7', body) then return end
    if ttl == '' then redis.call('SET', name, record) else redis.call('SET', name, record, 'PX', ttl) end
  end
  here.kept = true
  if string.byte(body, 8) == 1 then
    redis.call('ZADD', stem .. ':listed', string.format('%.0f', here.last), key)
    if ttl == '' then
      redis.call('ZREM', stem .. ':listed:ends', key)
    else
      redis.call('ZADD', stem .. ':listed:ends', string.format('%.0f', now + tonumber(ttl)), key)
    end
    here.last, here.listed = here.last + 1, true
  end
  if here.followed then mark(key, record) end
end

local function drop(list, from, to)
  for i = from, to do
    redis.call('DEL', stem .. ':kept:' .. list[i])
    redis.call('ZREM', stem .. ':listed', list[i])
    redis.call('ZREM', stem .. ':listed:ends', list[i])
  end
end

local function save_kept()
  if not here.kept then return end
  redis.call('HSET', stem, 'kept', string.format('%.0f', here.last))
  if here.listed then
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', stem .. ':listed:ends', '-inf', now, 'LIMIT', 0, 100)) do
      redis.call('ZREM', stem .. ':listed:ends', key)
      redis.call('ZREM', stem .. ':listed', key)
    end
  end
end
