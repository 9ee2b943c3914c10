-- A dead letter as it was packed, or nil if it is none: a record that somebody else wrote, or spoiled, stops no verb.
local function letter_of(packed)
  local whole, letter = pcall(cmsgpack.unpack, packed)
  if not whole or type(letter) ~= 'table' then return nil end
  for i = 1, 3 do
    if type(letter[i]) ~= 'string' then return nil end
  end
  local priority = tonumber(letter[5])
  if not tonumber(letter[4]) or not tonumber(letter[7]) or not priority then return nil end
  if priority < 0 or priority > 9 or priority % 1 ~= 0 then return nil end
  return letter
end
