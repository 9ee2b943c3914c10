-- How an exchange begins with flow: see flow.lua.
local batch = stem .. ':lot:' .. consumer
local head = redis.call('LINDEX', batch, 0)
local face, flowed = unpack(redis.call('HMGET', stem, 'face', 'flow'))
if not flowed then return redis.error_reply('NOFLOW this queue has never seen a ticket or a rule') end
--#include flow.lua
f.slots = math.floor(tonumber(ARGV[6]) / 4)
if not head then
  redis.call('HDEL', stem, '-')
  f.adopt(consumer)
  f.flush()
  head = redis.call('LINDEX', batch, 0)
end
