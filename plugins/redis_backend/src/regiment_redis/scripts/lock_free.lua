-- Frees a lock if the owner has it, and leaves a mark for one who waits, which goes by itself after a second.
-- KEYS[1]  the lock
-- ARGV     1 owner
-- returns  1 if it was freed, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[1] .. ':free')
redis.call('LPUSH', KEYS[1] .. ':free', 1)
redis.call('PEXPIRE', KEYS[1] .. ':free', 1000)
return 1
