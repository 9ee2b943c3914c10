-- Notes which receipts this step takes from the consumer (E1).
local take = t.take
t.take = function(...)
  local taken, missing = take(...)
  for _, pair in ipairs(taken) do took[pair[1]] = true end
  return taken, missing
end
