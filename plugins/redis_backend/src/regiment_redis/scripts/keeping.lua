-- Records: S:kept:K is 7 bytes version, 7 bytes rank, 1 byte flags (1: listed), value.

-- Leaves marks for those who follow it with at most this rank.
local function mark(key, rank, record)
  local wants = stem .. ':want:' .. key
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

-- What follows once it was put.
local function kept(begun, key, ttl, body)
  local rank, flags = struct.unpack('>I7B', body)
  begun.kept = true
  if flags == 1 then
    begun.listed, begun.place = true, begun.place + 1
    redis.call('ZADD', stem .. ':listed', string.format('%.0f', begun.place), key)
    if ttl == '' then
      redis.call('ZREM', stem .. ':listed:ends', key)
    else
      redis.call('ZADD', stem .. ':listed:ends', string.format('%.0f', now + tonumber(ttl)), key)
    end
  end
  if begun.followed then mark(key, rank, begun.head .. body) end
end

local function keep(key, ttl, body)
  local begun = here.begun
  if not begun then
    --#include begun.lua
    here.begun = begun
  end
  --#include set.lua
  if put then kept(begun, key, ttl, body) end
end

-- S:listed has the places of what is listed, S:listed:ends when it expires.
local function save_kept()
  local begun = here.begun
  if not begun or not begun.listed then return end
  if begun.behind then redis.call('SET', stem .. ':last', string.format('%.0f', -begun.place)) end
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', stem .. ':listed:ends', '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('ZREM', stem .. ':listed:ends', key)
    redis.call('ZREM', stem .. ':listed', key)
  end
end

local function drop(list, from, to)
  for i = from, to do
    redis.call('DEL', stem .. ':kept:' .. list[i])
    redis.call('ZREM', stem .. ':listed', list[i])
    redis.call('ZREM', stem .. ':listed:ends', list[i])
  end
end
