-- How the other scripts begin with flow: see flow.lua. A queue that has none is told so.
local flowed = redis.call('HGET', stem, 'flow')
if not flowed then return redis.error_reply('NOFLOW this queue has never seen a ticket or a rule') end
--#include flow.lua
