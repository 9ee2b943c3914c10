-- Takes a lock if it is free, or extends it if the owner has it.
-- KEYS[1]  the lock
-- ARGV     1 owner, 2 ms
-- returns  1 if the owner has it now, else 0
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[1] .. ':free')
return 1
