-- The exchange of nearly every task: all that the consumer holds is done, and it wants the next. The caller says what the store must look
-- like for that (the queue's face and the consumer's head, byte by byte, as the last answer left them); if it does not, nothing is done, and
-- the caller comes again with `exchange` under the same turn, which knows every case. What depends on the time is not looked at: the caller
-- comes with `exchange` when something is due, and twice a second at least (R8). A repeat, a late request and a take-back change the head (R4, R6).
-- KEYS[1]  stem, 2 the consumer's list, then the lists of ready tasks, the first priority first
-- ARGV     1 face without its stamp, 2 the head that is there, 3 the new head: of one task; or its first 14 bytes, 4 its last 8,
--          5 limit, 6 most bytes
-- returns  0 if anything is otherwise, or not enough is ready; else the element, or with a limit the elements
local call, face, batch = redis.call, redis.call('HGET', KEYS[1], 'face'), KEYS[2]
if not face or string.sub(face, 7) ~= ARGV[1] or call('LINDEX', batch, 0) ~= ARGV[2] then return 0 end
if #ARGV == 3 then
  for i = 3, #KEYS do
    local got = call('LPOP', KEYS[i])
    if got then
      call('DEL', batch)
      call('RPUSH', batch, ARGV[3], got)
      return got
    end
  end
  return 0
end
local limit, most = tonumber(ARGV[5]), tonumber(ARGV[6])
for i = 3, #KEYS do
  local first = call('LINDEX', KEYS[i], 0)
  if first then
    -- A whole batch of one priority, of small ones; the rest is for `exchange`.
    local last = call('LINDEX', KEYS[i], limit - 1)
    if not last or math.max(#first, #last) * limit * 4 > most then return 0 end
    local got, size = call('LPOP', KEYS[i], limit), 0
    for j = 1, #got do size = size + #got[j] end
    if size > most then
      for j = #got, 1, -1 do call('LPUSH', KEYS[i], got[j]) end
      return 0
    end
    call('DEL', batch)
    call('RPUSH', batch, ARGV[3] .. struct.pack('>I4', #got) .. ARGV[4], unpack(got))
    return got
  end
end
return 0
