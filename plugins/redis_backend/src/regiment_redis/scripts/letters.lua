-- Dead letters, newest first. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     1 "list", or "reasons" (without payloads), most, id to go on behind or empty | 2 "find", letter id or task id
-- returns  a list of {id, task id, payload, reason, ms since the epoch, priority}
--#include now.lua
--#include letter.lua
local ids = {}
if ARGV[1] ~= 'find' then
  local behind = ARGV[3] == '' and '+' or '(' .. ARGV[3]
  ids = redis.call('ZREVRANGEBYLEX', stem .. ':deaths', behind, '-', 'LIMIT', 0, ARGV[2])
else
  local of = ARGV[2] .. '\0'
  for _, member in ipairs(redis.call('ZREVRANGEBYLEX', stem .. ':dead-tasks', '[' .. of .. '\255', '[' .. of)) do
    ids[#ids + 1] = string.sub(member, #of + 1)
  end
  if #ids == 0 then ids = {ARGV[2]} end
end
local found = {}
for _, id in ipairs(ids) do
  local packed = redis.call('HGET', stem .. ':dead', id)
  if packed then
    local letter = letter_of(packed)
    if not letter then
      found[#found + 1] = {id, '', packed, '{"kind": "unreadable", "error": "the record of this letter is damaged"}', 0, 0}
    -- Too old ones are deleted by the next death; until then they are not shown.
    elseif tonumber(letter[7]) > now then
      local payload = ARGV[1] == 'reasons' and '' or letter[2]
      found[#found + 1] = {id, letter[1], payload, letter[3], letter[4], letter[5]}
    end
  end
end
return found
