-- Deletes dead letters.
-- KEYS[1]  stem of the queue
-- ARGV     1 "all" | 2 "these", ids
-- returns  how many
--#include now.lua
--#include tools.lua
local t = tools()
if ARGV[1] == 'all' then
  local many = redis.call('ZCARD', stem .. ':deaths')
  redis.call('UNLINK', stem .. ':dead', stem .. ':deaths', stem .. ':dead-tasks')
  return many
end
local ids = {}
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
return t.unbury(ids)
