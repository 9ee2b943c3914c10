-- Records by their keys; with an inbox, marks are left for it when those are kept that are not here with the rank wanted.
-- KEYS[1]  stem of the queue
-- ARGV     1 inbox or empty, 2 ms that it follows, then keys; with an inbox key and rank of each
-- returns  for each key its record, or nil; with an inbox only those of at least the rank
--#include now.lua
local found, inbox = {}, ARGV[1]
local function read(key)
  local record = redis.call('GET', stem .. ':kept:' .. key)
  return record and #record > 14 and record
end
if inbox == '' then
  for i = 3, #ARGV do found[i - 2] = read(ARGV[i]) end
  return found
end
local ms = tonumber(ARGV[2])
for i = 3, #ARGV, 2 do
  local record, wants = read(ARGV[i]), stem .. ':want:' .. ARGV[i]
  if record and struct.unpack('>I7', record, 8) >= tonumber(ARGV[i + 1]) then
    found[#found + 1] = record
    redis.call('HDEL', wants, inbox)
  else
    found[#found + 1] = false
    redis.call('HSET', wants, inbox, struct.pack('>I7I7', now + ms, tonumber(ARGV[i + 1])))
    if redis.call('PTTL', wants) < ms then redis.call('PEXPIRE', wants, ms) end
  end
end
local followed = stem .. ':followed'
if redis.call('PTTL', followed) < ms then redis.call('SET', followed, '', 'PX', ms) end
return found
