-- Writes entries beside a delivery (extra `ledger`), or reads them. They stand in the element behind the id of the task, after a byte
-- that no id has (255): so every script carries them as it carries an id, also one that knows nothing of them, and they end with
-- the element. Only a queue with lanes knows what a user's id is then (tools.lua, unlive): others have none of both in one task.
-- KEYS[1]  stem of the queue
-- ARGV     1 consumer, 2 receipt, 3 most entries, 4 most bytes of them, then name and value of each
-- returns  nil if the consumer does not hold it; {name, value, ...}; or, and nothing is written: 0 if the queue needs lanes for it, n if
--          the entries would have n bytes, -n if they would be n
local stem, consumer, receipt = KEYS[1], ARGV[1], tonumber(ARGV[2])
--#plain
--#include guard.lua
--#end
--#flow: if not redis.call('HGET', stem, 'flow') then return redis.error_reply('NOFLOW this queue has never seen a ticket or a rule') end
--#include element.lua
local batch, held = stem .. ':batch:' .. consumer, stem .. ':held:' .. consumer
local head = redis.call('LINDEX', batch, 0)
--#flow: if head == '~' then batch = stem .. ':lot:' .. consumer head = redis.call('LINDEX', batch, 0) end
if not head or redis.call('HGET', stem .. ':consumer:' .. consumer, 'fenced') then return false end
local base, left = select(2, struct.unpack('>I7I7I4', head))
local at = receipt - base + 1
local within = at >= 1 and at <= left
local element
if within then element = redis.call('LINDEX', batch, at) else element = redis.call('HGET', held, ARGV[2]) end
if not element then return false end
local task = open(element)
local old = task.id
local cut = string.find(old, '\255', 1, true)
local entries, id, places = {}, old, {}
if cut then entries, id = cmsgpack.unpack(string.sub(old, cut + 1)), string.sub(old, 1, cut - 1) end
if #ARGV == 4 then return entries end
for i = 1, #entries, 2 do places[entries[i]] = i end
for i = 5, #ARGV, 2 do
  local place = places[ARGV[i]] or #entries + 1
  entries[place], entries[place + 1], places[ARGV[i]] = ARGV[i], ARGV[i + 1], place
end
local size = #table.concat(entries)
if #entries / 2 > tonumber(ARGV[3]) then return -#entries / 2 end
if size > tonumber(ARGV[4]) then return size end
--#plain
if id ~= '' then return 0 end
--#end
task.id = id .. '\255' .. cmsgpack.pack(entries)
if #task.id > 65535 then return redis.error_reply('ERR the id of the task and its entries have more than 65,535 bytes') end
-- A removal is the first write: entries are taken by a full server, too, so that what has been done can be noted there.
redis.call('HDEL', stem, '-')
if within then redis.call('LSET', batch, at, seal(task)) else redis.call('HSET', held, ARGV[2], seal(task)) end
-- A task without an id has had entries when it was revived: what is then known as its id is what it has now.
if id == '' and cut and redis.call('SREM', stem .. ':live', old) == 1 then
  redis.call('SADD', stem .. ':live', task.id)
  redis.call('HSET', stem .. ':named:' .. consumer, ARGV[2], task.id)
end
return entries
