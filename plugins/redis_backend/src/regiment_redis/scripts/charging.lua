-- "F" stem priority "now"|"in"|"at" ms ms-of-ids how-many, then id or empty, lane, rest of the ticket and payload of each: tasks with
-- tickets, for the queue that this script is of.
local function send_charged(list, i, counts)
  local due, window, many, ready = now, tonumber(list[i + 3]), tonumber(list[i + 4]), gathered()
  if list[i + 1] == 'in' then due = now + tonumber(list[i + 2]) end
  if list[i + 1] == 'at' then due = tonumber(list[i + 2]) end
  for n = 0, many - 1 do
    local at = i + 5 + 4 * n
    local met = admit(list[i], due, window, list[at], list[at + 1], list[at + 2], list[at + 3], ready)
    if met and met[1] ~= 'replaced' and counts then e.left_out[#e.left_out + 1] = e.sent end
    if string.byte(list[at + 2]) == 1 then ready.push() end
    if counts then e.sent = e.sent + 1 end
  end
  ready.push()
end
