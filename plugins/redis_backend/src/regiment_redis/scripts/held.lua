-- A part of the receipts in the hash of a consumer. Reads only.
-- KEYS[1]  stem of the queue
-- ARGV     1 consumer, 2 cursor (0: the beginning), 3 about how many
-- returns  {cursor to go on with or 0, receipt, ...}
local found = redis.call('HSCAN', KEYS[1] .. ':held:' .. ARGV[1], ARGV[2], 'COUNT', ARGV[3])
local receipts = {found[1]}
for i = 1, #found[2], 2 do receipts[#receipts + 1] = found[2][i] end
return receipts
