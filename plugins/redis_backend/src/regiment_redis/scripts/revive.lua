-- Makes dead letters ready again, at the tail of their priority, with count 0.
-- KEYS[1]  stem of the queue
-- ARGV     for each letter: id, has payload (0, 1), payload
-- returns  how many
--#include now.lua
--#include tools.lua
local t, elements = tools(), {}
for i = 1, #ARGV, 3 do
  local packed = redis.call('HGET', stem .. ':dead', ARGV[i])
  local letter = packed and t.letter_of(packed)
  if letter then
    local id = letter[6] or ''
    if id ~= '' then
      redis.call('SADD', stem .. ':live', id)
      t.put('ids', 1)
    end
    t.unbury({ARGV[i]})
    elements[#elements + 1] = t.seal({
      priority = letter[5], place = t.place(), count = 0, parked = 0, note = '', id = id,
      payload = ARGV[i + 1] == '1' and ARGV[i + 2] or letter[2],
    })
  end
end
t.tail(elements)
t.rouse()
return #elements
