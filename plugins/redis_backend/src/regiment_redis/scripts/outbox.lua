-- The outbox: S:out is a set of targets, S:out:TARGET a list of tokens and packed effects. Forgets what has been relayed, which
-- is at its head unless somebody else has sent it on, too; and reads what is next: at most a hundred for each target, and ten
-- if they are large.
-- KEYS[1]  stem of the queue
-- ARGV     1 number of targets that are not to be read, these, then for each target that was relayed to: target, how many, tokens
-- returns  {target, {token, packed, ...}, target, ...}
--#include now.lua
--#include tools.lua
local key, skipped, i, found = stem .. ':out', {}, 2 + tonumber(ARGV[1]), {}
for n = 2, i - 1 do skipped[ARGV[n]] = true end
if i <= #ARGV then tools() end
while i <= #ARGV do
  local target, many, tokens = ARGV[i], tonumber(ARGV[i + 1]), {}
  for n = i + 2, i + 1 + many do tokens[ARGV[n]] = true end
  while tokens[redis.call('LINDEX', key .. ':' .. target, 0)] do redis.call('LPOP', key .. ':' .. target, 2) end
  if redis.call('EXISTS', key .. ':' .. target) == 0 then redis.call('SREM', key, target) end
  i = i + 2 + many
end
for _, target in ipairs(redis.call('SMEMBERS', key)) do
  if not skipped[target] then
    local entries, bytes = {}, 0
    for at = 0, 180, 20 do
      local some = redis.call('LRANGE', key .. ':' .. target, at, at + 19)
      for _, part in ipairs(some) do
        entries[#entries + 1] = part
        bytes = bytes + #part
      end
      if #some < 20 or bytes > 1000000 then break end
    end
    found[#found + 1] = target
    found[#found + 1] = entries
  end
end
if made and redis.call('EXISTS', key) == 0 then
  local version = tonumber(redis.call('HGET', stem, 'version')) or 0
  if version >= 2147483648 then made.put('version', made.digits(version - 2147483648)) end
end
return found
