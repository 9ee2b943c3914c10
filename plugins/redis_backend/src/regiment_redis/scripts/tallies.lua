-- States of joins. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     joins
-- returns  for each {members or -1, arrived, complete, shut, missing...}, or 0 if nothing is known of it
--#include now.lua
local found = {}
for i = 1, #ARGV do
  local known = redis.call('HMGET', stem .. ':join:' .. ARGV[i], 'state', 'members', 'arrived')
  if not known[1] then
    found[i] = 0
  else
    local members = tonumber(known[2]) or -1
    local tally = {members, tonumber(known[3]), known[1] == 'done' and 1 or 0, known[1] == 'shut' and 1 or 0}
    for member = 0, members - 1 do
      if #tally == 104 then break end
      if redis.call('GETBIT', stem .. ':bits:' .. ARGV[i], member) == 0 then tally[#tally + 1] = member end
    end
    found[i] = tally
  end
end
return found
