-- Makes dead letters ready again, at the tail of their priority, with count 0.
-- KEYS[1]  stem of the queue
-- ARGV     for each letter: id, has payload (0, 1), payload
-- returns  how many
--#include now.lua
--#plain
--#include guard.lua
--#end
--#flow flowed.lua
--#include tools.lua
local t, elements = tools(), {}
for i = 1, #ARGV, 3 do
  local packed = redis.call('HGET', stem .. ':dead', ARGV[i])
  local letter = packed and t.letter_of(packed)
  --#flow: local ticket = letter and letter[8] or ''
  --#flow: local part = ticket ~= '' and f.key_of(string.char(32) .. string.rep(' ', 9) .. ticket)
  --#flow: local p = part and f.parts(part)
  --#flow: if p and p.kind == 0 then if f.holder_of(p.key) then letter = nil else f.hold(p) end end
  if letter then
    local id = letter[6] or ''
    --#flow: id = t.plain_id(id)
    if id ~= '' then
      redis.call('SADD', stem .. ':live', id)
      t.put('ids', 1)
    end
    t.unbury({ARGV[i]})
    elements[#elements + 1] = t.seal({
      --#plain
      priority = letter[5], place = t.place(), count = 0, parked = 0, note = '', id = id,
      --#end
      --#flow: priority = letter[5], place = t.place(), count = 0, parked = 0, note = '', id = letter[6] or '',
      --#flow: ticket = ticket,
      payload = ARGV[i + 1] == '1' and ARGV[i + 2] or letter[2],
    })
  end
end
t.tail(elements)
--#flow: f.flush()
t.rouse()
return #elements
