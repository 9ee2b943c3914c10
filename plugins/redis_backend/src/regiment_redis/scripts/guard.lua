if redis.call('HEXISTS', stem, 'flow') == 1 then return redis.error_reply('ISFLOW this queue has lanes') end
