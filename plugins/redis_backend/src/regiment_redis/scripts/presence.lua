-- All presence records whose time has not passed. Reads only.
-- KEYS[1]  stem of the presence records
-- returns  key, value, key, value, ...
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found = {}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1] .. ':until', '(' .. now, '+inf')) do
  found[#found + 1] = key
  found[#found + 1] = redis.call('HGET', KEYS[1] .. ':records', key) or ''
end
return found
